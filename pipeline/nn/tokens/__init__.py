"""Layers of vision transformers (arXiv 2010.11929): one mechanism a file, composed by networks.

Tokens are [b n c]. The tokens of patches are in rows, and come last: a class token, registers and
other tokens precede them.
"""
