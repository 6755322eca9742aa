"""For each alert on tools and knowledge a service that must raise it and one that must not."""

from tests.alerts.series import Case, duration, tool_calls

AGENT_CASES = {
    "CueboxToolFailing": Case(
        sick=(tool_calls("0+3x30", raised="0+1x30", timeout="0x30"), tool_calls("0x30", raised="0 1 2 3 3x30")),
        well=(
            tool_calls("0+9x30", raised="0+1x30"),
            tool_calls("0x30", raised="0 1 2 2x30"),  # too few
            tool_calls("0+1x30", refused="0+9x30", arguments="0+9x30", cancelled="0+9x30"),  # no fault of the tool's
            {'tool_calls_total{tool="unknown",result="unknown"}': "0+9x30"},  # the model made it up
        ),
        steps=10,
        label='result="raised"',
    ),
    "CueboxToolSlow": Case(
        sick=(duration("0+8x60", "0+10x60"),),
        well=(
            duration("0+9.5x60", "0+10x60"),
            duration("0+0.3x60", "0+0.5x60"),  # too few
            duration("0+10x14 140+0x60", "0+10x14 150+2x60"),  # it has only begun
        ),
        steps=20,
    ),
    "CueboxKnowledgeMissed": Case(
        sick=(
            {'knowledge_searches_total{result="found"}': "0+5x30", 'knowledge_searches_total{result="late"}': "0+1x30"},
        ),
        well=(
            {
                'knowledge_searches_total{result="found"}': "0+19x30",
                'knowledge_searches_total{result="failed"}': "0+1x30",
            },
            {'knowledge_searches_total{result="failed"}': "0 1 2 3 4 4x30"},  # too few
            {'knowledge_searches_total{result="skipped"}': "0+9x30", 'knowledge_searches_total{result="late"}': "0x30"},
        ),
        steps=15,
        label='result="late"',
    ),
}
