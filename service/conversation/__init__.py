"""The core: events in, commands out. Standard library only; no await, no clock, no randomness.

- `events`      what happened: past tense, one closed union
- `commands`    what to do: imperative, one closed union
- `machine`     `Conversation.receive(event) -> list[Command]`, its rules numbered at the head
- `transcript`  what was said, and what of it was heard
- `playout`     which words the caller has probably heard by now
- `reply`       a turn between its request and its settlement
- `settlement`  how a turn ended
- `patience`    how long a caller waits for a slow answer
- `greeting`    whether a call still wants its greeting
- `silence`     when a line that says nothing is given up
- `tally`       what a call comes to
- `parts`       what an agent may answer with
- `call`        what is known of a call and of a turn
"""
