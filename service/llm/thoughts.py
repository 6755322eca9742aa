"""What a reasoning model thinks aloud before it answers: `<think>…</think>` at the very beginning, never to be spoken.

Most endpoints tell it apart themselves; some leave it in the text.
"""

_BEGIN, _END = "<think>", "</think>"


class Thoughts:
    """Takes the thinking out of one answer, as it streams."""

    def __init__(self) -> None:
        self._held = ""
        self._is_thinking = False
        self._is_over = False

    def feed(self, text: str) -> str:
        """What is left of the text. Held back is only a beginning that may become `<think>`."""
        if self._is_over:
            return text
        self._held += text
        begun = self._held.lstrip()
        if not self._is_thinking and len(begun) < len(_BEGIN) and _BEGIN.startswith(begun):
            return ""
        self._is_thinking = self._is_thinking or begun.startswith(_BEGIN)
        if not self._is_thinking:
            self._is_over = True
            return self._held
        thought, end, answer = self._held.partition(_END)
        self._held, self._is_over = thought[-len(_END) :], bool(end)
        return answer

    def flush(self) -> str:
        """What was held back in vain when the answer ended."""
        return "" if self._is_over or self._is_thinking else self._held
