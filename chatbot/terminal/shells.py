"""Completion of commands and flags for bash, zsh and fish, made from the parser of the command line."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator

from chatbot.terminal.flags import COMMANDS, chat_parser
from chatbot.terminal.library_flags import ACTS

SHELLS = ("bash", "zsh", "fish")
_FILES = {"files", "schema"}

_BASH = """\
# Completion of chat for bash: eval "$(chat completion bash)"
_paddock_chat() {
  local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]}
  case $previous in
    FILE_FLAGS) COMPREPLY=($(compgen -f -- "$current")); return ;;
    --id) COMPREPLY=($(compgen -W "$(chat list --ids 2>/dev/null)" -- "$current")); return ;;
    completion) COMPREPLY=($(compgen -W "SHELL_NAMES" -- "$current")); return ;;
    library) COMPREPLY=($(compgen -W "LIBRARY_ACTS" -- "$current")); return ;;
    -l|--library|search|refresh|show|rm|add) if [[ $previous == -* || ${COMP_WORDS[1]} == library ]]; then
      local IFS=$'\n'; COMPREPLY=($(compgen -W "$(chat library list --names 2>/dev/null)" -- "$current")); return
    fi ;;
  esac
  if [[ $current == -* ]]; then
    COMPREPLY=($(compgen -W "FLAGS" -- "$current"))
  elif [[ $COMP_CWORD -eq 1 ]]; then
    COMPREPLY=($(compgen -W "COMMANDS" -- "$current"))
  elif [[ ${COMP_WORDS[1]} == export ]]; then
    COMPREPLY=($(compgen -W "$(chat list --ids 2>/dev/null)" -- "$current"))
  fi
}
complete -o default -F _paddock_chat chat
"""
_ZSH = """\
#compdef chat
# Completion of chat for zsh: eval "$(chat completion zsh)", or this as _chat in a folder of $fpath
_chat() {
  case $words[CURRENT-1] in
    --id) compadd -- ${(f)"$(chat list --ids 2>/dev/null)"}; return ;;
    completion) compadd -- SHELL_NAMES; return ;;
    library) compadd -- LIBRARY_ACTS; return ;;
    -l|--library|search|refresh|show|rm|add) if [[ $words[CURRENT-1] == -* || $words[2] == library ]]; then
      compadd -- ${(f)"$(chat library list --names 2>/dev/null)"}; return
    fi ;;
    FILE_FLAGS) _files; return ;;
  esac
  if [[ $PREFIX == -* ]]; then
    compadd -- FLAGS
  elif (( CURRENT == 2 )); then
    compadd -- COMMANDS
  elif [[ $words[2] == export ]]; then
    compadd -- ${(f)"$(chat list --ids 2>/dev/null)"}
  else
    _files
  fi
}
(( $+functions[compdef] )) && compdef _chat chat
"""


def script(shell: str) -> str:
    """What a shell reads to complete `chat`."""
    if shell == "fish":
        return "".join(f"{line}\n" for line in _fish())
    flags = " ".join(option for action in _actions() for option in action.option_strings)
    files = "|".join(option for action in _actions() if action.dest in _FILES for option in action.option_strings)
    filled = (_BASH if shell == "bash" else _ZSH).replace("FILE_FLAGS", f"{files}|-o|--output")
    words = {
        "FLAGS": flags,
        "COMMANDS": _spaced(COMMANDS),
        "SHELL_NAMES": _spaced(SHELLS),
        "LIBRARY_ACTS": _spaced(ACTS),
    }
    for name, listed in words.items():
        filled = filled.replace(name, listed)
    return filled


def _spaced(words: Iterable[str]) -> str:
    return " ".join(words)


def _actions() -> list[argparse.Action]:
    return [action for action in chat_parser()._actions if action.option_strings]


def _fish() -> Iterator[str]:
    yield "# Completion of chat for fish: chat completion fish | source"
    begins = "__fish_is_nth_token 1"
    for name in COMMANDS:
        yield f"complete -c chat -n '{begins}' -a {name}"
    yield f"complete -c chat -n '__fish_seen_subcommand_from completion' -f -a '{' '.join(SHELLS)}'"
    yield f"complete -c chat -n '__fish_seen_subcommand_from library' -f -a '{_spaced(ACTS)}'"
    yield "complete -c chat -n '__fish_seen_subcommand_from export' -f -a '(chat list --ids 2>/dev/null)'"
    for action in _actions():
        names = " ".join(
            f"-l {option[2:]}" if option.startswith("--") else f"-s {option[1:]}" for option in action.option_strings
        )
        takes = "" if action.nargs == 0 else " -r" if action.dest in _FILES else " -x"
        names_of = {"chat_id": "chat list --ids", "library": "chat library list --names"}.get(action.dest)
        ids = f" -a '({names_of} 2>/dev/null)'" if names_of else ""
        told = (action.help or "").replace("%%", "%").replace("\\", "").replace("'", "\\'")
        yield f"complete -c chat {names}{takes}{ids} -d '{told}'"
