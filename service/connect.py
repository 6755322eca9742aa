"""`cuebox connect`. As in `cli`, imports are made when they are needed."""

import os
import sys

import click


@click.command()
@click.option("--url", required=True, help="The service's host, such as https://cuebox.fly.dev.")
@click.option("--agent-id", metavar="ID", help="Retell's agent, a Custom LLM. Without one, addresses are only tried.")
@click.option(
    "--agent", default="", metavar="NAME", help="The agent here that answers, where it is not CUEBOX_AGENT's."
)
@click.option("--publish", is_flag=True, help="Let calls go to the new version at once; else it stays a draft.")
@click.option("--web-call", is_flag=True, help="Make a call that a browser may join, and print its token.")
@click.option("--api", default="https://api.retellai.com", show_default=True, help="Where Retell's REST API is.")
def connect(url: str, agent_id: str | None, agent: str, api: str, *, publish: bool, web_call: bool) -> None:
    """Enter a running service into an agent at Retell.

    First its addresses are tried from here, from outside: a line has to open, and a webhook that nobody signed has to
    be refused. Only then is the agent changed. RETELL_API_KEY is the key, CUEBOX_PATH_SECRET the secret of the address.

    Exit code 0: done; 1: something was refused, and the message says what; 2: bad usage.

    \b
    Examples:
      cuebox connect --url https://cuebox.fly.dev
      cuebox connect --url https://cuebox.fly.dev --agent-id agent_1a2b3c --publish
      cuebox connect --url https://cuebox.fly.dev --agent-id agent_1a2b3c --agent trial --web-call
    """
    from service.account import Account, NotPossible, addresses_of, try_line, try_webhook

    keys = [each.strip() for each in os.environ.get("RETELL_API_KEY", "").split(",")]
    secret = os.environ.get("CUEBOX_PATH_SECRET", "").partition(",")[0].strip()
    if agent_id is None and (publish or web_call):
        raise click.UsageError("--publish and --web-call are about the agent of --agent-id.")
    if agent_id is not None and not keys[0]:
        raise click.UsageError("Set RETELL_API_KEY: a key of the account that has the agent.")
    try:
        addresses = addresses_of(url, secret, agent)
        click.echo(f"line     {addresses.shown(secret)} speaks after {try_line(addresses):.2f} s")
        try_webhook(addresses)
        click.echo(f"webhook  {addresses.webhook} refuses what Retell did not sign")
        if agent_id is not None:
            account = Account(keys[0], api)
            version = account.point(agent_id, addresses)
            click.echo(f"agent    {agent_id} has these addresses in version {version}")
            if publish:
                account.publish(agent_id, version)
            click.echo(
                "         which is published" if publish else "         a draft: publish it there, or say --publish"
            )
            if web_call:
                call = account.web_call(agent_id, version)
                click.echo(f"call     {call.call_id} waits to be joined with Retell's web SDK and this token:")
                click.echo(call.access_token)
    except NotPossible as error:
        click.echo(f"cuebox: {str(error).replace(secret, '…') if secret else error}", err=True)
        sys.exit(1)
