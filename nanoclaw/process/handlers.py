"""Every kind of effect and who carries it out; part of the ``delivery`` composition root.

System actions of agents are recorded by ``delivery.intake`` as effects of the kind
``action:<name>`` with the row's content as payload; messages between agents as
``agent_message``; approved requests under their own action name.
"""

from nanoclaw.effects.base import Handler

HANDLERS: dict[str, Handler] = {}
