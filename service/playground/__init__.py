"""The playground: be the caller in a browser, in development. Retell's side is played here, by the simulator.

routes.py     the page's files and its one WebSocket, for this machine's own browsers alone
messages.py   what the page and the service tell each other
visit.py      one page, and the calls that it makes
call.py       one call: the page's caller, the simulated platform, and a service in this process
stand_in.py   the same service once more, with a model that can be told to be slow or to fail
waterfall.py  what became of each turn, as it becomes known
"""
