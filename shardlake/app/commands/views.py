"""`shardlake views`: which there are, whether a file would be accepted, and the forms of one."""

from pathlib import Path
from typing import Any

import click
import msgspec

from shardlake.adapters.disk import translated
from shardlake.app.cli import Group, Invocation, pass_invocation
from shardlake.app.text import printable, printable_lines
from shardlake.app.viewset import compiled_views, load_pack, named_views, optional_views
from shardlake.core.errors import ConfigError
from shardlake.core.view import CompiledView


@click.group(cls=Group)
def views() -> None:
    """See the views, and check one before it is used."""


@views.command("list")
@pass_invocation
def list_(invocation: Invocation) -> None:
    """List the views that can be asked. Optional ones that are not in use are named below."""
    found = compiled_views(invocation.config)
    optional = optional_views(invocation.config)
    rows = [(v.name, ", ".join(o.name for o in v.outputs), v.description) for v in found.values()]
    told = {"views": [_told(v) for v in found.values()], "optional": optional}
    invocation.output.table(("view", "columns", "description"), rows, told)
    if optional:
        use = msgspec.json.encode((*invocation.config.views.use, optional[0])).decode().replace(",", ", ")
        invocation.output.note(f"optional, not in use: {', '.join(optional)}; to keep one, set views.use = {use}")


@views.command(short_help="Show the three SQL forms of a view.")
@click.argument("name")
@pass_invocation
def show(invocation: Invocation, name: str) -> None:
    """Show a view: its columns, its fingerprint, and the three SQL forms that were derived from it."""
    _write(invocation, named_views(invocation.config, (name,))[0])


@views.command(short_help="Tell whether the view in a file would be accepted.")
@click.argument("file", type=click.Path(path_type=Path))
@pass_invocation
def check(invocation: Invocation, file: Path) -> None:
    """Compile the view in a .sql file without using it; a refusal says where, why, and what to write instead."""
    from shardlake.app.trial import Trial
    from shardlake.core.compiler import compile_view

    try:
        with translated(f"read {file}"):
            sql = file.read_text("utf-8")
    except FileNotFoundError as error:
        raise ConfigError(f"there is no file {file}: check the path") from error
    schema = load_pack(invocation.config).schema
    view = Trial(schema).passed(compile_view(file.stem, sql, schema))
    _write(invocation, view, f"{file}: accepted")


def _write(invocation: Invocation, view: CompiledView, head: str = "") -> None:
    if invocation.json:
        invocation.output.json(_told(view))
        return
    if head:
        click.secho(head, fg="green")
    if view.description:
        click.echo(printable(view.description))
    click.echo(f"fingerprint {view.fingerprint}, window {view.window or 'none'}\n")
    rows = [(o.name, o.type, o.exactness, o.bound) for o in view.outputs]
    invocation.output.table(("column", "type", "class", "bound"), rows, None)
    for name, sql in (("partial", view.partial), ("combine", view.combine), ("finalize", view.finalize)):
        click.secho(f"\n-- {name}", bold=True)
        click.echo(printable_lines(sql))


def _told(view: CompiledView) -> dict[str, Any]:
    return {
        "name": view.name,
        "description": view.description,
        "source": view.source,
        "fingerprint": view.fingerprint,
        "window": view.window,
        "window_us": view.window_us,
        "columns": [{"name": o.name, "type": o.type, "exactness": o.exactness, "bound": o.bound} for o in view.outputs],
        "sql": view.sql,
        "partial": view.partial,
        "combine": view.combine,
        "finalize": view.finalize,
    }
