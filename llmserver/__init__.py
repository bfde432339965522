"""The model server: an OpenAI-compatible process around llama_cpp.server."""

__version__ = "0.3.0.dev0"
