"""Goes through a data set, element by element, in whatever pieces it comes.

Nothing is recursive: nesting is followed with an explicit stack as deep as ``max_sequence_depth``.
Deeper is a finding, because sequences nested thousands of levels deep crash the parsers of common
receivers.

Structural faults that receivers survive (an element that is cut short, a length that overruns its
item) are warnings: the walk ends there, and the bytes are passed on as they are.
"""

from __future__ import annotations

from router.dicom import uids
from router.dicom.elements import (
    FRAGMENT_VRS,
    HEADER_LENGTHS,
    ITEM,
    ITEM_END,
    PIXEL_DATA,
    SEQUENCE_END,
    UNDEFINED_LENGTH,
    explicit_layout,
    explicit_length,
    header_of_unknown,
    long_length_layout,
    plain_layout,
    written,
)
from router.dicom.findings import Finding, FindingKind, ScanLimits
from router.dicom.harvest import Harvest, Level
from router.dicom.nesting import Frame, Nesting
from router.dicom.scan_plan import ScanPlan, Target, merged
from router.domain.dictionary import vr_of

ITEM_BYTES = b"\xfe\xff\x00\xe0"
"""An item tag in little endian, which the content of an element of unknown VR always is."""

UNKNOWN_VRS = ("UN", "")
"""What the VR is called of an element whose VR nobody knows: in Explicit VR, in Implicit VR."""


class Walk:
    """Looks at the elements of one data set; whoever drives it keeps what it cannot use yet."""

    __slots__ = (
        "_data_set",
        "_limits",
        "_nesting",
        "_root",
        "finding",
        "harvest",
        "is_over",
        "need",
        "position",
        "skip",
        "warnings",
    )

    def __init__(self, plan: ScanPlan, transfer_syntax_uid: str, limits: ScanLimits):
        self._root = plan.root
        self._limits = limits
        self._data_set = Frame(
            end=-1,
            implicit=uids.is_implicit_vr(transfer_syntax_uid),
            big_endian=uids.is_big_endian(transfer_syntax_uid),
            level=Level(plan.root),
            is_item=True,
        )
        self._nesting = Nesting(self._data_set, limits.max_sequence_depth)
        self.harvest = Harvest(limits.max_kept_bytes)
        self.finding: Finding | None = None
        self.warnings: list[Finding] = []
        self.position = 0
        """Of the next byte to be looked at, from the start of the data set."""
        self.skip = 0
        """Bytes of a value that are still to come, and need not be seen."""
        self.need = 0
        """How many bytes it has to be shown in one piece when it did not use all."""
        self.is_over = False
        """Nothing more is looked at."""

    def look(self, view: memoryview) -> int:
        """Look at as many elements as ``view`` holds; the bytes used.

        Leaves ``skip`` set when a value goes on beyond, ``need`` when something incomplete and
        short is left over.
        """
        if self.position == 0 and not self._settle_vr(view):
            return 0
        used, length = 0, len(view)
        data_set, frames = self._data_set, self._nesting.frames
        while used < length and not self.is_over:
            frame = frames[-1]
            if frame is data_set and not frame.implicit:
                step = self._run_top_level(view, used)
            elif frame.end == self.position:
                frames.pop()
                continue
            elif frame.is_item:
                step = self._element(view[used:], frame)
            else:
                step = self._item_header(view[used:], frame)
            if step == 0:
                return used
            used += step
            if self.skip:
                return used
        return used

    def pass_over(self, available: int) -> int:
        """Go on without the next bytes, at most so many, as far as nobody wants to see them."""
        if self.is_over:
            return available
        step = min(self.skip, available)
        self.skip -= step
        self.position += step
        return step

    def is_between_elements(self) -> bool:
        """Whether the data set may end here; always so when the walk is over."""
        self._nesting.close_ended(self.position)
        return self.is_over or (not self.skip and self._nesting.is_outermost)

    def warn(self, kind: FindingKind, reason: str) -> None:
        """Add something that does not hinder, once."""
        warning = Finding(kind, reason)
        if len(self.warnings) < self._limits.max_warnings and warning not in self.warnings:
            self.warnings.append(warning)  # an element is looked at again when more of it is there

    def _settle_vr(self, view: memoryview) -> bool:
        """See in the first element whether there are VRs; False: more bytes are needed.

        Some senders label one encoding and send the other; receivers guess, and so it is read.
        """
        data_set = self._data_set
        if len(view) < 8:
            self.need = 8
            return False
        raw_vr = bytes(view[4:6])
        has_vr = raw_vr in HEADER_LENGTHS
        if not data_set.implicit and header_of_unknown(raw_vr):
            has_vr = True
        if has_vr == data_set.implicit:
            self.warn(
                FindingKind.MISLABELLED,
                f"the data set is {'explicit' if has_vr else 'implicit'} VR, against its label",
            )
            data_set.implicit = not has_vr
        return True

    def _run_top_level(self, view: memoryview, start: int) -> int:
        """Elements of an Explicit VR data set itself: the hot loop. Returns the bytes used.

        Whatever is not plain is left to the careful way.
        """
        elements = self._root.elements
        keep = self.harvest.keep
        longest = self._limits.max_value_bytes
        private = self._root.private
        big_endian = self._data_set.big_endian
        unpack = explicit_layout(big_endian=big_endian).unpack_from
        unpack_long = long_length_layout(big_endian=big_endian).unpack_from
        header_lengths = HEADER_LENGTHS
        position, end = start, len(view)
        while end - position >= 8:
            group, element, vr, length = unpack(view, position)
            header = header_lengths.get(vr)
            if header is None or group == 0xFFFE or group == 2:
                break  # the careful way
            if header == 12:
                if vr == b"SQ" or vr == b"UN" or end - position < 12:
                    break
                (length,) = unpack_long(view, position + 8)
                if length == UNDEFINED_LENGTH:
                    break
            if group & 1 and private:
                break  # it may be wanted by its tag and by its creator, or be one
            whole = header + length
            target = elements.get(group << 16 | element)
            if target is not None:
                if not target.is_plain or length > longest or whole > end - position:
                    break
                raw = bytes(view[position + header : position + whole])
                keep(target, vr.decode(), raw, big_endian=big_endian, outermost=True)
                position += whole
                continue
            if whole > end - position:
                self.skip = whole - (end - position)
                self.position += end - start
                return end - start
            position += whole
        self.position += position - start
        if position > start:
            return position - start
        return self._element(view[start:], self._data_set)

    def _item_header(self, view: memoryview, sequence: Frame) -> int:
        if len(view) < 8:
            self.need = 8
            return 0
        group, element, length = plain_layout(big_endian=sequence.big_endian).unpack_from(view)
        tag = group << 16 | element
        if tag == SEQUENCE_END:
            self._nesting.frames.pop()
            return self._use(8)
        if tag != ITEM:
            return self._stop(FindingKind.MALFORMED, f"{written(tag)} where an item belongs")
        if sequence.is_fragments:
            return self._use_value(8, length, view)
        return self._enter_item(sequence, length)

    def _enter_item(self, sequence: Frame, length: int) -> int:
        index = sequence.items
        sequence.items += 1
        node = None
        if sequence.target is not None:
            into = sequence.target.into
            node = merged([into[key] for key in (None, index) if key in into])
        end = -1 if length == UNDEFINED_LENGTH else self.position + 8 + length
        if not self._nesting.fits(end):
            reason = f"an item of {length} bytes at {self.position}"
            return self._stop(FindingKind.LENGTH_OVERRUN, reason)
        item = Frame(end, sequence.implicit, sequence.big_endian, Level(node), is_item=True)
        self._nesting.frames.append(item)
        return self._use(8)

    def _element(self, view: memoryview, frame: Frame) -> int:
        """One element, the careful way. Returns the bytes used; 0: it needs more of them."""
        if len(view) < 8:
            self.need = 8
            return 0
        big_endian = frame.big_endian
        group, element, length = plain_layout(big_endian=big_endian).unpack_from(view)
        tag = group << 16 | element
        if group == 0xFFFE:
            return self._delimiter(tag, frame)
        if frame.implicit:
            vr, header = vr_of(tag), 8
        else:
            raw_vr = bytes(view[4:6])
            header = HEADER_LENGTHS.get(raw_vr) or header_of_unknown(raw_vr)
            if not header:
                reason = f"{written(tag)} at {self.position} has no VR that exists"
                return self._stop(FindingKind.MALFORMED, reason)
            if len(view) < header:
                self.need = header
                return 0
            vr = raw_vr.decode()
            length = explicit_length(view, header, big_endian=big_endian)
        if group == 2 and frame is self._data_set:
            self.warn(FindingKind.GROUP_0002, f"{written(tag)} in the data set")
        return self._value(view, frame, tag, vr, header, length)

    def _delimiter(self, tag: int, frame: Frame) -> int:
        frames = self._nesting.frames
        if frame is self._data_set or tag not in (ITEM_END, SEQUENCE_END):
            return self._stop(FindingKind.MALFORMED, f"a stray delimiter at {self.position}")
        frames.pop()
        if tag == SEQUENCE_END:  # the item was not closed, its sequence is
            frames.pop()
        return self._use(8)

    def _value(
        self, view: memoryview, frame: Frame, tag: int, vr: str, header: int, length: int
    ) -> int:
        level = frame.level
        target = level.target(tag) if level else None
        if length == UNDEFINED_LENGTH:
            return self._enter_undefined(frame, tag, vr, target, header)
        end = self.position + header + length
        if 0 <= frame.end < end:
            reason = f"{written(tag)} at {self.position}: {length} bytes"
            return self._stop(FindingKind.LENGTH_OVERRUN, reason)
        if vr == "SQ" and (target is not None or self._nesting.may_be_too_deep(length)):
            return self._enter_sequence(frame, tag, header, end, target)
        inside = target is not None and target.into
        if vr in UNKNOWN_VRS and (inside or self._nesting.may_be_too_deep(length)):
            if len(view) < header + len(ITEM_BYTES):
                self.need = header + len(ITEM_BYTES)
                return 0
            if view[header : header + len(ITEM_BYTES)] == ITEM_BYTES:
                return self._enter_sequence(frame, tag, header, end, target, is_guess=True)
        if level and ((target is not None and target.names) or level.is_creator(tag)):
            if length <= self._limits.max_value_bytes:
                return self._wanted(view, frame, level, tag, vr, header, length)
            self.warn(FindingKind.VALUE_TOO_LONG, written(tag))
        return self._use_value(header, length, view)

    def _wanted(
        self,
        view: memoryview,
        frame: Frame,
        level: Level,
        tag: int,
        vr: str,
        header: int,
        length: int,
    ) -> int:
        """A value that is kept, as soon as it is there as a whole."""
        whole = header + length
        if len(view) < whole:
            self.need = whole
            return 0
        raw = bytes(view[header:whole])
        target = level.target(tag)
        if target is not None:
            self.harvest.keep(
                target,
                vr,
                raw,
                big_endian=frame.big_endian,
                outermost=frame is self._data_set,
            )
        if level.is_creator(tag):
            level.reserve(tag, raw)
        return self._use(whole)

    def _enter_undefined(
        self, frame: Frame, tag: int, vr: str, target: Target | None, header: int
    ) -> int:
        if tag == PIXEL_DATA or vr in FRAGMENT_VRS:
            fragments = Frame(-1, frame.implicit, frame.big_endian, is_fragments=True)
            self._nesting.frames.append(fragments)
            return self._use(header)
        if vr in ("SQ", *UNKNOWN_VRS):
            return self._enter_sequence(frame, tag, header, -1, target, is_unknown=vr == "UN")
        return self._stop(FindingKind.MALFORMED, f"{written(tag)} of VR {vr} has no length")

    def _enter_sequence(
        self,
        frame: Frame,
        tag: int,
        header: int,
        end: int,
        target: Target | None,
        *,
        is_unknown: bool = False,
        is_guess: bool = False,
    ) -> int:
        """Go into the items of an element, or of bytes that some receivers take for items.

        Content of an element of unknown VR is Implicit VR Little Endian (PS3.5 6.2.2).
        """
        used = self._use(header)
        if not self._nesting.has_room():
            self.finding = Finding(
                FindingKind.NESTING_TOO_DEEP,
                f"sequence {written(tag)} is nested {self._nesting.depth + 1} levels deep; "
                f"{self._limits.max_sequence_depth} are allowed",
            )
            self.is_over = True
            return used
        is_unknown = is_unknown or is_guess
        self._nesting.frames.append(
            Frame(
                end,
                implicit=is_unknown or frame.implicit,
                big_endian=frame.big_endian and not is_unknown,
                target=target,
                is_guess=is_guess,
            )
        )
        return used

    def _use(self, count: int) -> int:
        self.position += count
        return count

    def _use_value(self, header: int, length: int, view: memoryview) -> int:
        """Use a header and what is there of its value; the rest is to be passed over."""
        used = min(header + length, len(view))
        self.skip = header + length - used
        self.position += used
        return used

    def _stop(self, kind: FindingKind, reason: str) -> int:
        """The walk cannot go on here: what was read until here stands. Uses no bytes.

        What was only guessed to be a sequence is passed over, and the walk goes on behind it.
        """
        end_of_guess = self._nesting.leave_guess()
        if end_of_guess is None:
            self.warn(kind, reason)
            self.is_over = True
        else:
            self.skip = end_of_guess - self.position
        return 0
