"""The list of calls: one row each, from before its first audio to its end reason. SQLite through SQLAlchemy.

Blocking work runs in a thread; the runtime puts a deadline on it and goes on without a list that does not answer.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import CheckConstraint, String, create_engine, event, inspect, select, text, update
from sqlalchemy.engine import Engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from voicebot import log
from voicebot.call.recorder import repair
from voicebot.carriers.base import CallInfo
from voicebot.core.timeline import EndReason, Record, decode
from voicebot.service.alive import Alive

TOGETHER_S = 0.2
"""Refused calls are written together that come within this time …"""
MOST_TOGETHER = 1000
"""… of more than so many there is no trace but the metrics."""
_log = log.get("store")
_REASONS = ", ".join(f"'{reason.value}'" for reason in EndReason)


class _Base(DeclarativeBase):
    pass


class _Row(_Base):
    __tablename__ = "calls"
    __table_args__ = (CheckConstraint(f"end_reason IS NULL OR end_reason IN ({_REASONS})", name="end_reason_known"),)

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    carrier: Mapped[str] = mapped_column(String(16))
    carrier_call_id: Mapped[str] = mapped_column(String(64), index=True)
    caller: Mapped[str] = mapped_column(String(128))
    called: Mapped[str] = mapped_column(String(128))
    dialplan: Mapped[str] = mapped_column(String(64))
    started_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    seconds: Mapped[float | None]
    turns: Mapped[int] = mapped_column(default=0)
    end_reason: Mapped[str | None] = mapped_column(String(32))
    detail: Mapped[str] = mapped_column(String(256), default="")
    folder: Mapped[str] = mapped_column(String(512), default="")
    owner: Mapped[str] = mapped_column(String(32), default="", server_default="")
    """The process that carries it (see `alive`)."""
    responder: Mapped[str] = mapped_column(String(64), default="", server_default="")


@dataclass(frozen=True, slots=True)
class CallRow:
    """A call as listed. Times are UTC."""

    id: str
    carrier: str
    carrier_call_id: str
    caller: str
    called: str
    dialplan: str
    started_at: datetime
    seconds: float | None
    turns: int
    end_reason: str | None
    """None while the call is up."""
    detail: str
    folder: str
    responder: str
    """Who led it at first: `cascade`, or a native engine. Empty for calls of before there was a choice."""


def _plain(row: _Row) -> CallRow:
    return CallRow(
        row.id, row.carrier, row.carrier_call_id, row.caller, row.called, row.dialplan,
        row.started_at.replace(tzinfo=UTC), row.seconds, row.turns, row.end_reason, row.detail, row.folder,
        row.responder,
    )  # fmt: skip


class Store:
    """`url`: any SQLAlchemy URL; `Store.at(folder)` for SQLite in the data folder. `locks`: a folder on this machine,
    where processes that share the list show that they live."""

    def __init__(self, url: str, locks: Path) -> None:
        self._engine: Engine = create_engine(url)
        self._alive = Alive(locks)
        self._refused: list[_Row] = []
        if self._engine.dialect.name == "sqlite":
            event.listen(self._engine, "connect", _write_ahead)
        _Base.metadata.create_all(self._engine)
        self._add_columns()

    def _add_columns(self) -> None:
        """A list that an older version made gets the columns that are new."""
        there = {column["name"] for column in inspect(self._engine).get_columns("calls")}
        for column in _Row.__table__.columns:
            if column.name not in there:
                kind = column.type.compile(self._engine.dialect)
                with self._engine.begin() as connection:
                    connection.execute(text(f"ALTER TABLE calls ADD COLUMN {column.name} {kind} NOT NULL DEFAULT ''"))

    @classmethod
    def at(cls, folder: Path) -> Store:
        folder.mkdir(parents=True, exist_ok=True)
        return cls(f"sqlite:///{folder / 'calls.sqlite'}", folder / "alive")

    def close(self) -> None:
        self._alive.close()
        self._engine.dispose()

    # --- what the runtime writes

    async def started(
        self, info: CallInfo, dialplan: str, started_at: datetime, folder: str, responder: str = ""
    ) -> None:
        await asyncio.to_thread(lambda: self._add(self._row(info, dialplan, started_at, folder, responder=responder)))

    async def ended(self, call_id: str, reason: EndReason, seconds: float, turns: int) -> None:
        await asyncio.to_thread(self._end, call_id, reason, seconds, turns)

    async def rejected(self, info: CallInfo, dialplan: str, why: str) -> None:
        """The first waits for others and writes them all: a flood of them takes the time of a few."""
        if len(self._refused) < MOST_TOGETHER:
            self._refused.append(self._row(info, dialplan, datetime.now(UTC), "", why))
        if len(self._refused) == 1:
            try:
                await asyncio.sleep(TOGETHER_S)
            finally:
                refused, self._refused = self._refused, []
            await asyncio.to_thread(self._add, *refused)

    def _add(self, *rows: _Row) -> None:
        with Session(self._engine) as session, session.begin():
            session.add_all(rows)

    def _row(
        self, info: CallInfo, dialplan: str, at: datetime, folder: str, refused: str = "", responder: str = ""
    ) -> _Row:
        reason = EndReason.REJECTED if refused else None
        at = at.astimezone(UTC).replace(tzinfo=None)
        return _Row(
            id=info.call_id,
            carrier=info.carrier,
            carrier_call_id=info.carrier_call_id,
            caller=info.caller[:128],
            called=info.called[:128],
            dialplan=dialplan,
            started_at=at,
            ended_at=at if reason else None,
            seconds=0.0 if reason else None,
            end_reason=reason.value if reason else None,
            detail=refused[:256],
            folder=folder,
            responder=responder,
            owner="" if reason else self._alive.name(),
        )

    def _end(self, call_id: str, reason: EndReason, seconds: float, turns: int, at: datetime | None = None) -> None:
        ended = (at or datetime.now(UTC)).astimezone(UTC).replace(tzinfo=None)
        change = update(_Row).where(_Row.id == call_id, _Row.end_reason.is_(None))
        with Session(self._engine) as session, session.begin():
            session.execute(change.values(end_reason=reason.value, seconds=seconds, turns=turns, ended_at=ended))

    # --- what people read

    def list(self, limit: int = 50, dialplan: str = "") -> Sequence[CallRow]:
        """Latest first."""
        query = select(_Row).order_by(_Row.started_at.desc()).limit(limit)
        if dialplan:
            query = query.where(_Row.dialplan == dialplan)
        with Session(self._engine) as session:
            return [_plain(row) for row in session.scalars(query)]

    def get(self, call_id: str) -> CallRow | None:
        """By our id, or by the start of it when that names one call only."""
        with Session(self._engine) as session:
            row = session.get(_Row, call_id)
            if row is None and call_id:
                starts = _Row.id.startswith(call_id, autoescape=True)
                found = list(session.scalars(select(_Row).where(starts).limit(2)))
                row = found[0] if len(found) == 1 else None
            return _plain(row) if row else None

    # --- housekeeping

    def close_crashed(self) -> int:
        """At start-up: calls without an end, of a process that is gone, are mended and closed. Returns how many."""
        with Session(self._engine) as session:
            unended = [
                (_plain(row), row.owner) for row in session.scalars(select(_Row).where(_Row.end_reason.is_(None)))
            ]
        gone = {owner for _, owner in unended if not self._alive.lives(owner)}
        crashed = [row for row, owner in unended if owner in gone]
        for row in crashed:
            reason, seconds, turns = EndReason.CRASHED, 0.0, 0
            try:
                reason, seconds, turns = _mend(Path(row.folder)) if row.folder else (reason, seconds, turns)
            except (OSError, ValueError, KeyError, TypeError) as error:  # a broken record is no reason not to start
                _log.warning("repair_failed", call_id=row.id, error=str(error))
            self._end(row.id, reason, seconds, turns, row.started_at + timedelta(seconds=seconds))
        return len(crashed)

    def purge(self, days: int) -> int:
        """Delete recordings and rows older than `days`; 0 keeps everything."""
        if days <= 0:
            return 0
        oldest = (datetime.now(UTC) - timedelta(days=days)).replace(tzinfo=None)
        with Session(self._engine) as session, session.begin():
            rows = list(session.scalars(select(_Row).where(_Row.started_at < oldest, _Row.end_reason.is_not(None))))
            for row in rows:
                if row.folder:
                    shutil.rmtree(row.folder, ignore_errors=True)
                session.delete(row)
        return len(rows)


def _mend(folder: Path) -> tuple[EndReason, float, int]:
    """Mend the record of a call whose process is gone, and close it: its reason, seconds and turns. The reason is
    `crashed`, unless the call had ended and only its row had not."""
    seconds = repair(folder)
    timeline = folder / "timeline.jsonl"
    records = list(decode(timeline.read_bytes().splitlines())) if timeline.exists() else []
    turns = sum(record.kind == "turn" for record in records)
    if records and records[-1].kind == "call_ended":
        return EndReason(records[-1].fields["reason"]), seconds or float(records[-1].fields["seconds"]), turns
    if records:
        ms = max(record.ms for record in records)
        seconds = seconds or ms / 1000
        end = Record(max(ms, int(seconds * 1000)), "call_ended", {"reason": EndReason.CRASHED, "seconds": seconds})
        with timeline.open("ab") as file:
            file.write(end.encode())
    return EndReason.CRASHED, seconds, turns


def _write_ahead(connection: object, _: object) -> None:
    cursor = connection.cursor()  # type: ignore[attr-defined]
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=NORMAL")
    cursor.execute("PRAGMA busy_timeout=1000")
    cursor.close()
