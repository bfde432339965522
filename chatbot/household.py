"""Who may come in, for the person at the machine: the first administrator, and `python -m chatbot accounts`.

A server that runs on the same database heeds what is changed here within a second.
"""

from __future__ import annotations

import argparse
import getpass
import os
import sys
import time
from collections.abc import Callable, Sequence

from chatbot.core.accounts import User, check_password, clean_name
from chatbot.core.entrance import Entrance
from chatbot.core.store import Store
from chatbot.errors import BadRequest, BadSettings, ChatError
from chatbot.settings import WebSettings, parse

_FIRST = "admin"
_EXAMPLES = """examples:
  python -m chatbot accounts add anna           asks for her password; the first one is the administrator
  python -m chatbot accounts add ben --stdin < password.txt
  python -m chatbot accounts password anna      a new password; everybody who is logged in as anna is logged out
  python -m chatbot accounts lock ben
"""


def need_owner(store: Store, settings: WebSettings) -> None:
    """See to it that there is an administrator: make one, or ask for one. Raises BadSettings when nobody answers."""
    entrance = Entrance(store)
    if entrance.has_owner():
        return
    if settings.admin_password:
        try:
            entrance.create_owner(_FIRST, settings.admin_password)
        except BadRequest as why:
            raise BadSettings(f"CHATBOT_ADMIN_PASSWORD cannot be used: {why.message}") from why
        return
    if not sys.stdin.isatty():
        raise BadSettings(
            f"listening on {settings.host} needs an account, and there is none: run `python -m chatbot accounts add "
            f"NAME` first, or set CHATBOT_ADMIN_PASSWORD for an administrator named {_FIRST} (see docs/operations.md)"
        )
    _say("This chat will be open to your network, so it needs an administrator: choose a name and a password.")
    name = _ask_until_good(lambda: clean_name(input("Name: ")))
    password = _ask_until_good(_ask_twice)
    entrance.create_owner(name, password)


def main(argv: Sequence[str]) -> int:
    """Do one command; the exit status: 0 done, 1 refused, 2 wrong usage."""
    try:
        found = _parser().parse_args(argv)
        flags = {"data_dir": found.data_dir}
        store = Store(parse(WebSettings, flags, os.environ).database())
    except ChatError as why:
        return _refuse(why)
    try:
        _COMMANDS[found.command](store, found)
    except ChatError as why:
        return _refuse(why, 1)
    finally:
        store.close()
    return 0


def _refuse(why: ChatError, status: int | None = None) -> int:
    sys.stderr.write(f"chatbot: {why.message}\n")
    return why.exit_code if status is None else status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m chatbot accounts",
        description="Manage who may come in.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    where = argparse.ArgumentParser(add_help=False)
    where.add_argument("--data_dir", metavar="STR", help="folder of the chat database, as for the server")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser("list", parents=[where], help="who there is")
    for name, text in (
        ("add", "let somebody in; the first one is the administrator"),
        ("password", "give somebody a new password"),
        ("lock", "keep somebody out"),
        ("unlock", "let them in again"),
        ("remove", "forget somebody with all their chats"),
    ):
        command = commands.add_parser(name, parents=[where], help=text)
        command.add_argument("name", metavar="NAME")
        if name in {"add", "password"}:
            command.add_argument("--stdin", action="store_true", help="read the password from standard input")
        if name == "add":
            command.add_argument("--admin", action="store_true", help="as a further administrator")
        if name == "remove":
            command.add_argument("--yes", action="store_true", help="do not ask")
    return parser


def _list(store: Store, _: argparse.Namespace) -> None:
    use = store.use_of()
    for user in store.users():
        of = use.get(user.id)
        seen = time.strftime("%Y-%m-%d %H:%M", time.localtime(of.seen_at)) if of and of.seen_at else "never seen"
        marks = ", ".join(["administrator"] * user.is_admin + ["locked"] * user.is_locked) or "user"
        _say(f"{user.name:24} {marks:22} {of.n_chats if of else 0:>6} chats  {seen}")
    if not store.users():
        _say("there are no accounts yet: python -m chatbot accounts add NAME")


def _add(store: Store, found: argparse.Namespace) -> None:
    entrance, name = Entrance(store), clean_name(found.name)
    if store.find_user(name) is not None:
        raise BadRequest(f"the name {name} is taken: choose another")
    password = _password(found)
    if entrance.has_owner():
        user = entrance.add(name, password, is_admin=found.admin)
    else:
        user = entrance.create_owner(name, password)
    _say(f"{user.name} may come in{', as administrator' if user.is_admin else ''}")


def _set_password(store: Store, found: argparse.Namespace) -> None:
    user = _find(store, found)
    Entrance(store).reset_password(user.id, _password(found))
    _say(f"{user.name} has a new password and is logged out everywhere")


def _lock(store: Store, found: argparse.Namespace) -> None:
    user = store.set_locked(_find(store, found).id, True)
    _say(f"{user.name} is locked and logged out everywhere")


def _unlock(store: Store, found: argparse.Namespace) -> None:
    _say(f"{store.set_locked(_find(store, found).id, False).name} may come in again")


def _remove(store: Store, found: argparse.Namespace) -> None:
    user = _find(store, found)
    n_chats = len(store.chats(user.id))
    if not found.yes:
        if not sys.stdin.isatty():
            raise BadRequest(f"this would remove {user.name} and {n_chats} chats for good: say --yes")
        if input(f"Remove {user.name} and {n_chats} chats for good? Type the name: ").strip() != user.name:
            raise BadRequest("nothing was removed")
    store.remove_user(user.id)
    _say(f"{user.name} is removed, with {n_chats} chats")


def _find(store: Store, found: argparse.Namespace) -> User:
    user = store.find_user(found.name)
    if user is None:
        names = ", ".join(each.name for each in store.users()) or "nobody yet"
        raise BadRequest(f"there is no user {found.name}: there is {names}")
    return user


def _password(found: argparse.Namespace) -> str:
    """The password, from standard input or from the terminal. Raises BadRequest."""
    if found.stdin:
        password = sys.stdin.readline().rstrip("\r\n")
        check_password(password)
        return password
    if not sys.stdin.isatty():
        raise BadRequest("there is no terminal to ask for the password: give it on standard input with --stdin")
    return _ask_until_good(_ask_twice)


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _ask_twice() -> str:
    password = getpass.getpass("Password: ")
    check_password(password)
    if getpass.getpass("Once more: ") != password:
        raise BadRequest("these were two different passwords: type the same one twice")
    return password


def _ask_until_good(ask: Callable[[], str]) -> str:
    while True:
        try:
            return ask()
        except BadRequest as why:
            _say(why.message)
        except (EOFError, KeyboardInterrupt) as why:
            raise BadSettings("nothing was changed") from why


_COMMANDS: dict[str, Callable[[Store, argparse.Namespace], None]] = {
    "list": _list,
    "add": _add,
    "password": _set_password,
    "lock": _lock,
    "unlock": _unlock,
    "remove": _remove,
}
