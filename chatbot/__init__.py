"""The web chat and the terminal chat. Both speak to the model server over HTTP and never import it."""

__version__ = "0.3.0.dev0"
