"""Encoders and decoders of published video codecs, found by name: `dict(name="video.ltx.Encoder")`.

Each module has an Encoder and a Decoder with the contract in pipeline/networks/__init__.py.
"""
