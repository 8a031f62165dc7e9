"""What every command of `shardlake` shares: the options, the configuration, and being imported only when it runs."""

import os
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from shardlake.app import config
from shardlake.app.settings import Config

if TYPE_CHECKING:
    from shardlake.app.output import Output

HELP_OPTIONS: Final = {"help_option_names": ["-h", "--help"], "max_content_width": 110}


@dataclass(slots=True)
class Invocation:
    """One call of the program: the options that every command takes, and what follows from them.

    `alone` tells that the process is there for this call only, so that signals are its to decide about.
    """

    alone: bool = False
    file: Path | None = None
    json: bool = False
    verbose: int = 0
    flags: dict[str, tuple[str, str]] = field(default_factory=dict)
    _resolved: config.Resolved | None = None

    def resolved(self) -> config.Resolved:
        """Read the configuration, once. Raises: ConfigError."""
        if self._resolved is None:
            self._resolved = config.load(self.flags, os.environ, Path.cwd(), self.file)
        return self._resolved

    @property
    def config(self) -> Config:
        """The configuration. Raises: ConfigError."""
        return self.resolved().config

    def die_at_ctrl_c(self) -> None:
        """Let Ctrl-C end the process at once: for what leaves nothing behind, and may be deep in an engine."""
        if self.alone and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, signal.SIG_DFL)

    def flag(self, key: str, value: object, name: str) -> None:
        """Take a setting from a flag, if it was given."""
        if value is not None:
            self.flags[key] = (str(value), name)

    @property
    def output(self) -> "Output":
        """Where this call writes."""
        from shardlake.app.output import Output

        return Output(as_json=self.json)


def _into(ctx: click.Context) -> Invocation:
    return ctx.ensure_object(Invocation)


def _on_config(ctx: click.Context, _: click.Parameter, value: Path | None) -> None:
    if value is not None:
        _into(ctx).file = value


def _on_root(ctx: click.Context, _: click.Parameter, value: Path | None) -> None:
    _into(ctx).flag("root", value, "--root")


def _on_set(ctx: click.Context, parameter: click.Parameter, value: tuple[str, ...]) -> None:
    for text in value:
        key, equals, setting = text.partition("=")
        if not equals:
            raise click.BadParameter(f"{text} is not KEY=VALUE", ctx, parameter)
        _into(ctx).flags[key.strip()] = (setting, "--set")


def _on_json(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    _into(ctx).json |= value


def _on_verbose(ctx: click.Context, _: click.Parameter, value: int) -> None:
    _into(ctx).verbose += value


def common_options() -> list[click.Option]:
    """The options that may stand before and after the name of a command."""
    path = click.Path(path_type=Path)
    return [
        _option(
            ["--config"],
            _on_config,
            type=path,
            metavar="FILE",
            help="Settings file, instead of the nearest shardlake.toml.",
        ),
        _option(["--root"], _on_root, type=path, metavar="DIR", help="Folder of everything that is stored."),
        _option(
            ["--set"],
            _on_set,
            multiple=True,
            metavar="KEY=VALUE",
            help="Any setting, such as source.path=logs; again for more.",
        ),
        _option(["--json"], _on_json, is_flag=True, help="Answer in JSON, with keys that stay."),
        _option(["-v", "--verbose"], _on_verbose, count=True, help="Say more; -vv shows where an error arose."),
    ]


def _option(names: Sequence[str], callback: Callable[..., None], **settings: Any) -> click.Option:
    return click.Option(names, callback=callback, expose_value=False, **settings)


class Command(click.Command):
    """A command with the common options. Its function takes the `Invocation` first."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("context_settings", HELP_OPTIONS)
        super().__init__(*args, **kwargs)
        self.params += common_options()


class Group(click.Group):
    """A group whose commands are imported when they are asked for: name -> `module:attribute`."""

    command_class = Command

    def __init__(self, *args: Any, lazy: Mapping[str, str] | None = None, **kwargs: Any) -> None:
        kwargs.setdefault("context_settings", HELP_OPTIONS)
        super().__init__(*args, **kwargs)
        self._lazy = lazy or {}
        self.params += common_options()

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Name the commands in the order in which a newcomer meets them."""
        return [*self._lazy, *super().list_commands(ctx)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command."""
        where = self._lazy.get(cmd_name)
        if where is None:
            return super().get_command(ctx, cmd_name)
        module, _, name = where.partition(":")
        found = getattr(import_module(module), name)
        assert isinstance(found, click.Command)
        return found

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find a command, or suggest the nearest name."""
        name = args[0]
        if self.get_command(ctx, name) is None:
            import difflib  # only an error needs it

            near = difflib.get_close_matches(name, self.list_commands(ctx), n=1)
            hint = f"; did you mean {near[0]}?" if near else f"; commands: {', '.join(self.list_commands(ctx))}"
            ctx.fail(f"there is no command {name!r}{hint}")
        return super().resolve_command(ctx, args)


pass_invocation = click.make_pass_decorator(Invocation, ensure=True)
