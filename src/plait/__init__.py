"""Plait weaves what people do on your site with what they do on your social channels."""

__version__ = "0.1.0"
