"""From a file's bytes to its text. The child process reads what is more than plain text; nothing here fetches."""
