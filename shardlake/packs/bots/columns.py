"""The columns that `Agents` makes of a column of user agents."""

from typing import Final

from shardlake.core.schema import Column

TOLD: Final = (
    Column("user_agent", "VARCHAR", "the user agent, URL-decoded until it does not change, at most twice"),
    Column("is_bot", "BOOLEAN", "whether the user agent is that of an automatic client"),
    Column("bot_category", "VARCHAR", "what the bot is there for; NULL for people"),
    Column("bot_name", "VARCHAR", "which bot it is; NULL for people"),
    Column("bot_evidence", "VARCHAR", "the pattern or rule that told; NULL for people"),
)
