"""The library: documents, their chunks, vectors and words, and what answers a question. No Flask, no llama_cpp."""
