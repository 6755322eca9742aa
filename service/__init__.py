"""Cuebox: the prompter's box of a phone call.

    voice platform ⇄ endpoint ⇄ platforms/<name> ⇄ session ⇄ conversation (the core)
                                                      ⇅
                                                agents/<yours> → llm

Start reading at `conversation/machine.py`: its rules are what the rest exists for.
"""

__version__ = "0.1.0"
