"""Pictures and figures of finished runs on one page: sections, overview picture, HTML."""
