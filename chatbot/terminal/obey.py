"""What each command of the terminal does. core/commands decides which one a line is."""

from __future__ import annotations

import base64
import re
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from chatbot.core import commands
from chatbot.core.commands import Command
from chatbot.core.options import BY_NAME, SENT, THINKING, read_value
from chatbot.core.store_rows import Stored
from chatbot.errors import BadRequest
from chatbot.terminal.desk import Desk
from chatbot.terminal.listing import chat_lines, hit_lines, model_lines
from chatbot.terminal.render import numbers
from chatbot.terminal.shelf_lines import counted

KEYS = """\
Alt-Enter, or a backslash at the end of a line, begins another line; so does Enter after \"\"\" until \"\"\" closes.
Ctrl-G edits the message in $EDITOR, Ctrl-R finds an earlier one, Tab completes.
While an answer comes you can write on: Enter queues the message, which is sent when the answer is complete.
Ctrl-C stops an answer and keeps it; what was queued stands at the prompt then. There it takes the line away, which Up
brings back, and twice at an empty prompt it leaves. Ctrl-D leaves too."""
_MOST_LISTED = 20
_SHOWN_ON_OPEN = 2
_MOST_COPIED = 74_000  # what most terminals take
_FENCED = re.compile(r"^ {0,3}(`{3,}|~{3,})[^\n]*\n(.*?)^ {0,3}\1`*[ \t]*$", re.M | re.S)


def obey(desk: Desk, command: Command) -> None:
    """Do what a command says. Raises ChatError with what the person should do instead."""
    _DOES[command.name](desk, command.args)


def _help(desk: Desk, name: str) -> None:
    text = commands.help_text(commands.TERMINAL, name)
    desk.table(text if name else f"{text}\n\n{KEYS}\n/think show and /think hide: whether thoughts are shown.")


def _new(desk: Desk, _: str) -> None:
    desk.session.leave()
    desk.last = None
    desk.say("a new conversation")


def _model(desk: Desk, name: str) -> None:
    session = desk.session
    if name:
        _choose(desk, "model", read_value("model", name))
        session.learn()
        desk.say(f"{session.info.name if session.info else name} answers from now on")
        return
    about = session.model.about(session.in_force().model)
    more = " ".join(filter(None, (about.abilities, about.size)))
    desk.say("\n".join(filter(None, (f"{about.name}. {more}" if more else about.name, about.summary))))
    models = session.model.models()
    if len(models) > 1:
        desk.table("\n".join(model_lines(models, about.name)))


def _system(desk: Desk, text: str) -> None:
    _set(desk, f"system_prompt {text}")


def _set(desk: Desk, args: str) -> None:
    found = commands.parse_setting(args)
    session = desk.session
    chosen = session.options()
    in_force = session.in_force()
    if found is None:
        width = max(map(len, BY_NAME))
        for name in BY_NAME:
            mark = "*" if chosen.has(name) else " "
            desk.table(f"{mark} {name:{width}}  {_shown(name, getattr(in_force, name))}")
        desk.say("* chosen for this conversation; /set NAME VALUE changes one, /set NAME default takes it back")
    elif isinstance(found, tuple):
        control, value = found
        _choose(desk, control.name, value)
        now = getattr(session.in_force(), control.name)
        desk.say(f"{control.name} is {_shown(control.name, now)}")
    else:
        now = _shown(found.name, getattr(in_force, found.name))
        desk.say(f"{found.name} is {now}: {found.help} It may be {found.meaning()}.")


def _choose(desk: Desk, name: str, value: object) -> None:
    """Choose an option, a model only where the server has it."""
    session = desk.session
    session.choose({name: session.model.named(str(value)) if name == "model" and value else value})


def _think(desk: Desk, how: str) -> None:
    word = how.lower()
    if word in {"show", "hide"}:
        desk.shows_thoughts = word == "show"
        desk.say("thoughts are shown" if desk.shows_thoughts else "thoughts are hidden")
        return
    _set(desk, f"thinking {'medium' if word == 'on' else word}")
    if not how:
        desk.say(f"/think {'|'.join(('on', *THINKING))} changes it; /think show|hide whether it is seen")


def _library(desk: Desk, name: str) -> None:
    session = desk.session
    if name.lower() in {"off", "none", "default"}:
        session.choose({"library": None})
        if name.lower() != "default" and session.in_force().shelves:
            session.choose({"library": ""})
    elif name:
        session.choose({"library": session.shelves.checked(name)})
    else:
        shelves = session.shelves.all()
        asked = session.shelves.asked(session.in_force().shelves)
        rows = [("*" if each.id in asked else " ", each) for each in shelves]
        lines = [f"{mark} {each.name}  {counted(each.n_documents, 'document')}" for mark, each in rows]
        desk.table("\n".join(lines) or "there is no shelf yet: chat library add NAME FOLDER begins one")
        desk.say("/library SHELF lets answers come from one, /library off from none; #SHELF asks it in one message")
        return
    asked_now = session.in_force().shelves
    desk.say(f"answers come from {asked_now} now" if asked_now else "answers come from no shelf now")


def _file(desk: Desk, name: str) -> None:
    if not name:
        raise BadRequest("name a file, a pattern or an address: /file notes/*.md")
    desk.add(name)


def _regen(desk: Desk, _: str) -> None:
    answer = _last(desk, "assistant", "there is no answer yet that could be given once more")
    desk.ask(lambda: desk.session.retry(answer.id))


def _continue(desk: Desk, _: str) -> None:
    answer = _last(desk, "assistant", "there is no answer yet that could go on")
    desk.ask(lambda: desk.session.resume(answer.id), before=answer.content)


def _edit(desk: Desk, _: str) -> None:
    question = _last(desk, "user", "there is no message yet that could be changed")
    desk.draft, desk.edits = question.content, question
    desk.say("change the message and send it: its answer becomes another branch. Ctrl-C leaves it as it is")


def _undo(desk: Desk, _: str) -> None:
    _need_seen(desk)
    taken = desk.session.undo()
    if not taken:
        raise BadRequest("there is no message that could be taken back")
    desk.last = None
    desk.say(f"taken back: {_beginning(taken[0].content)}")


def _copy(desk: Desk, what: str) -> None:
    text = _last(desk, "assistant", "there is no answer yet that could be copied").content
    if what == "code":
        blocks = _FENCED.findall(text)
        if not blocks:
            raise BadRequest("there is no code in the last answer")
        text = blocks[-1][1]
    content = text.encode()
    if not sys.stdout.isatty():
        raise BadRequest("only a terminal can copy: save the conversation with /save FILE")
    if len(content) > _MOST_COPIED:
        raise BadRequest(f"the answer has {len(content):,} bytes and terminals copy {_MOST_COPIED:,}: use /save FILE")
    sys.stdout.write(f"\x1b]52;c;{base64.b64encode(content).decode()}\x07")
    sys.stdout.flush()
    desk.say(f"{len(text):,} characters copied, where the terminal allows it")


def _save(desk: Desk, name: str) -> None:
    from chatbot.terminal.manage import export_text

    session = desk.session
    if session.chat_id is None:
        raise BadRequest("there is nothing to save yet")
    chat = session.store.chat(session.chat_id)
    path = Path(name or f"{_file_name(chat.title)}.md").expanduser()
    if path.exists():
        raise BadRequest(f"{path} exists already: give another name")
    try:
        path.write_text(export_text(session.store, chat.id, path.suffix == ".json"), encoding="utf-8")
    except OSError as why:
        raise BadRequest(f"cannot write {path}: {why.strerror or why}") from why
    desk.say(f"written to {path}")


def _list(desk: Desk, number: str) -> None:
    if number and not (number.isdecimal() and int(number) > 0):
        raise BadRequest("/list takes a number from 1 on: how many conversations to list")
    chats = desk.session.chats()
    shown = chats[: int(number or _MOST_LISTED)]
    desk.table("\n".join(chat_lines(shown, time.time(), desk.session.chat_id)) or "no conversation is kept yet")
    if len(shown) < len(chats):
        desk.say(f"{len(chats) - len(shown):,} more: /list {len(chats)}")


def _open(desk: Desk, chat_id: str) -> None:
    if not chat_id:
        _list(desk, "")
        desk.draft = "/open "
        return
    chat = desk.session.open(chat_id)
    desk.last = None
    branch = desk.session.branch()
    desk.say(f"{chat.title} · {len(branch)} messages" if len(branch) != 1 else f"{chat.title} · 1 message")
    desk.show(branch[-_SHOWN_ON_OPEN:])


def _search(desk: Desk, text: str) -> None:
    hits = desk.session.store.search(text, _MOST_LISTED)
    desk.table("\n".join(hit_lines(hits)) or f"nothing is found for {text}")


def _stats(desk: Desk, _: str) -> None:
    session = desk.session
    branch = session.branch()
    info = session.info
    if desk.last and (line := numbers(desk.last, info.n_ctx if info else None)):
        desk.say(f"last answer: {line}")
    n_words = sum(len(each.content.split()) for each in branch)
    desk.say(f"this conversation: {len(branch):,} messages, {n_words:,} words")
    if info:
        holds = f", holds {info.n_ctx:,} tokens" if info.n_ctx else ""
        desk.say(f"model: {info.name}{holds}")


def _stop(desk: Desk, _: str) -> None:
    """Ask the process that answers in this chat to stop; its own answers a terminal ends by Ctrl-C."""
    session = desk.session
    if not (session.chat_id and session.store.want_stop(session.chat_id)):
        raise BadRequest("nothing is being answered elsewhere in this conversation")
    desk.say("it is told to stop; what was written is kept")


def _clear(desk: Desk, _: str) -> None:
    if desk.is_drawn:
        sys.stdout.write("\x1b[H\x1b[2J\x1b[3J")
        sys.stdout.flush()


def _exit(_: Desk, __: str) -> None:
    raise EOFError


def _last(desk: Desk, role: str, otherwise: str) -> Stored:
    """The last message of that role in the open chat. Raises BadRequest."""
    _need_seen(desk)
    found = next((each for each in reversed(desk.session.branch()) if each.role == role), None)
    if found is None:
        raise BadRequest(otherwise)
    return found


def _need_seen(desk: Desk) -> None:
    """Change nothing that came from elsewhere unseen. Raises BadRequest when something did."""
    if desk.tell_news():
        raise BadRequest("nothing was done: give the command again if you mean what is shown now")


def _shown(name: str, value: object) -> str:
    if value is None:
        return "the model server's" if name in SENT else "-"
    if isinstance(value, tuple):
        return ", ".join(map(repr, value)) or "-"
    return str(value) if value not in ("", {}) else "-"


def _beginning(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= 60 else f"{flat[:59]}…"


def _file_name(title: str) -> str:
    words = re.sub(r"[^\w -]", "", title).strip() or "chat"
    return re.sub(r"\s+", "-", words)[:50].lower()


def _from_web(name: str) -> Callable[[Desk, str], None]:
    return lambda desk, argument: desk.fetch(name, argument)


_DOES: Mapping[str, Callable[[Desk, str], None]] = {
    "help": _help,
    "new": _new,
    "model": _model,
    "system": _system,
    "set": _set,
    "think": _think,
    "library": _library,
    "file": _file,
    **{name: _from_web(name) for name in ("url", "news", "weather")},
    "stop": _stop,
    "regen": _regen,
    "continue": _continue,
    "edit": _edit,
    "undo": _undo,
    "copy": _copy,
    "save": _save,
    "list": _list,
    "open": _open,
    "search": _search,
    "stats": _stats,
    "clear": _clear,
    "exit": _exit,
}
