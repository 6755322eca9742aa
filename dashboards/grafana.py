"""Draws boards as Grafana's classic JSON, which Grafana 11 and later, and hosted ones, import as it is."""

import json
from collections.abc import Callable, Iterator
from urllib.parse import quote

from grafana_foundation_sdk.builders import common, dashboard, heatmap, prometheus, stat, table, tempo, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common as models
from grafana_foundation_sdk.models import dashboard as classic
from grafana_foundation_sdk.models.heatmap import HeatmapColorMode
from grafana_foundation_sdk.models.prometheus import PromQueryFormat
from grafana_foundation_sdk.models.tempo import SearchTableType

from dashboards.panel import HERE, Board, Panel, Query, Row

PROMETHEUS = models.DataSourceRef(type_val="prometheus", uid="${datasource}")
TEMPO = models.DataSourceRef(type_val="tempo", uid="${tempo}")
VARIABLES = {
    "app": ("App", "label_values(cuebox_build_info, app)"),
    "region": ("Region", 'label_values(cuebox_build_info{app=~"$app"}, region)'),
    "instance": ("Machine", 'label_values(cuebox_build_info{app=~"$app",region=~"$region"}, instance)'),
    "prompt": ("Asked by", "label_values(cuebox_turns_total, prompt)"),
    "target": ("Target", "label_values(cuebox_model_attempts_total, target)"),
}
_NEW = "count by ({0}) (cuebox_build_info{{{1}}}) unless count by ({0}) (cuebox_build_info{{{1}}} offset 1m)"
_FIRING = 'max by (alertname) (ALERTS{alertstate="firing",alertname=~"Cuebox.*",severity=~"page|ticket"})'
_CHANGED = f"sum by (verb, instance) (increase(cuebox_control_changes_total{{{HERE}}}[1m])) > 0"
ANNOTATIONS = (
    ("Deploys", "blue", _NEW.format("version", HERE), "deploy {{version}}"),
    ("Agents", "purple", _NEW.format("agent, folder_hash", HERE), "agent {{agent}} {{folder_hash}}"),
    ("Changes", "orange", _CHANGED, "{{verb}} changed by hand on {{instance}}"),
    ("Alerts", "red", _FIRING, "{{alertname}}"),
)
BEHIND = {
    "unit": "short",
    "custom.axisPlacement": "right",
    "custom.drawStyle": "bars",
    "custom.fillOpacity": 12,
    "custom.lineWidth": 0,
    "color": {"mode": "fixed", "fixedColor": "text"},
    "custom.axisGridShow": False,
    "custom.stacking": {"mode": "none"},
}
"""How the count behind percentiles is drawn."""

Visual = timeseries.Panel | stat.Panel | heatmap.Panel | table.Panel | dashboard.Panel


def drawn(board: Board) -> str:
    """The dashboard's JSON."""
    page = dashboard.Dashboard(board.title).uid(board.uid).description(board.asks).tags(["cuebox"]).readonly()
    page.time("now-6h", "now").refresh("30s").timezone("browser").tooltip(classic.DashboardCursorSync.CROSSHAIR)
    for variable in _variables(board):
        page.with_variable(variable)
    for annotation in _annotations():
        page.annotation(annotation)
    links = dashboard.DashboardLink("Cuebox").type(classic.DashboardLinkType.DASHBOARDS).tags(["cuebox"])
    page.link(links.keep_time(True).include_vars(True).as_dropdown(False))
    for row in board.rows:
        _add(page, row)
    content = json.loads(JSONEncoder().encode(page.build()), object_hook=_in_sight)
    return json.dumps(content, indent=1, sort_keys=True) + "\n"


def _in_sight(part: dict[str, object]) -> dict[str, object]:
    """Links and annotations where one sees them: the SDK hides them in a menu, and offers nothing else."""
    return {key: value for key, value in part.items() if value != "inControlsMenu"}


def _add(page: dashboard.Dashboard, row: Row) -> None:
    heading = dashboard.Row(row.title)
    if not row.folded:
        page.with_row(heading)
        for panel in row.panels:
            page.with_panel(_panel(panel))
        return
    x = y = 0
    for panel in row.panels:
        heading.with_panel(_panel(panel).grid_pos(classic.GridPos(h=panel.height, w=panel.width, x=x, y=y)))
        x, y = ((x + panel.width) % 24, y + panel.height * ((x + panel.width) // 24))
    page.with_row(heading)


def _variables(board: Board) -> Iterator[dashboard.DatasourceVariable | dashboard.QueryVariable]:
    used = " ".join(query.expr for row in board.rows for panel in row.panels for query in panel.queries)
    yield dashboard.DatasourceVariable("datasource").label("Metrics").type("prometheus")
    yield dashboard.DatasourceVariable("tempo").label("Traces").type("tempo")
    for name, (label, query) in VARIABLES.items():
        if f"${name}" in used:
            variable = dashboard.QueryVariable(name).label(label).query(query).datasource(PROMETHEUS)
            variable.refresh(classic.VariableRefresh.ON_TIME_RANGE_CHANGED).sort(classic.VariableSort.ALPHABETICAL_ASC)
            chosen = classic.VariableOption(text="All", value="$__all")
            yield variable.multi(True).include_all(True).all_value(".*").current(chosen)


def _annotations() -> Iterator[dashboard.AnnotationQuery]:
    for name, colour, expr, title in ANNOTATIONS:
        annotation = dashboard.AnnotationQuery().name(name).datasource(PROMETHEUS).enable(True).icon_color(colour)
        yield annotation.expr(expr).step("1m").title_format(title)


def _panel(panel: Panel) -> Visual:
    visual = DRAWN_BY[panel.kind](panel)
    visual.title(panel.title).description(f"{panel.shows}\n\n**When it looks wrong:** {panel.wrong}")
    visual.span(panel.width).height(panel.height)
    if panel.kind in ("traces", "alerts"):
        return visual
    visual.datasource(PROMETHEUS).unit(panel.unit).interval(panel.every)
    for index, query in enumerate(panel.queries):
        visual.with_target(_target(query, chr(ord("A") + index), panel))
    if panel.traces:
        visual.links([dashboard.DashboardLink("Traces of such turns").url(_explore(panel.traces)).target_blank(True)])
    return visual


def _target(query: Query, ref: str, panel: Panel) -> prometheus.Dataquery:
    target = prometheus.Dataquery().datasource(PROMETHEUS).expr(query.expr).legend_format(query.legend).ref_id(ref)
    if panel.kind == "heatmap":
        target.format(PromQueryFormat.HEATMAP)
    if query.exemplars:
        target.exemplar(True)
    return target.instant() if panel.kind == "stat" else target.range()


def _lines(panel: Panel) -> timeseries.Panel:
    visual = timeseries.Panel().line_width(2).fill_opacity(0).show_points(models.VisibilityMode.AUTO).min(0)
    visual.span_nulls(300_000).legend(_legend()).tooltip(
        common.VizTooltipOptions().mode(models.TooltipDisplayMode.MULTI)
    )
    if panel.kind == "bars":
        visual.draw_style(models.GraphDrawStyle.BARS).fill_opacity(70).line_width(0)
        visual.stacking(common.StackingConfig().mode(models.StackingMode.NORMAL))
    if panel.kind == "steps":
        visual.line_interpolation(models.LineInterpolation.STEP_AFTER)
    if panel.limits:
        dashed = common.GraphThresholdsStyleConfig().mode(models.GraphThresholdsStyleMode.DASHED)
        visual.thresholds(_thresholds(panel)).thresholds_style(dashed)
    for query in panel.queries:
        if query.count:
            visual.override_by_name(
                query.legend, [classic.DynamicConfigValue(id_val=key, value=value) for key, value in BEHIND.items()]
            )
    return visual


def _legend() -> common.VizLegendOptions:
    legend = common.VizLegendOptions().show_legend(True).display_mode(models.LegendDisplayMode.LIST)
    return legend.placement(models.LegendPlacement.BOTTOM)


def _stat(panel: Panel) -> stat.Panel:
    visual = stat.Panel().color_mode(models.BigValueColorMode.VALUE).graph_mode(models.BigValueGraphMode.NONE)
    visual.text_mode(models.BigValueTextMode.VALUE_AND_NAME).thresholds(_thresholds(panel))
    visual.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
    for query in panel.queries:
        if query.count:
            plain = {"unit": "short", "decimals": 0, "color": {"mode": "fixed", "fixedColor": "text"}}
            visual.override_by_name(
                query.legend, [classic.DynamicConfigValue(id_val=key, value=value) for key, value in plain.items()]
            )
    return visual


def _thresholds(panel: Panel) -> dashboard.ThresholdsConfig:
    colours = ["red", "green"] if panel.higher_is_better else ["green", "orange", "red"]
    if len(panel.limits) == 1 and not panel.higher_is_better:
        colours = ["green", "red"]
    if not panel.limits:
        colours = ["text"]
    steps = [
        classic.Threshold(value=value, color=colour)
        for value, colour in zip((None, *panel.limits), colours, strict=True)
    ]
    return dashboard.ThresholdsConfig().mode(classic.ThresholdsMode.ABSOLUTE).steps(steps)


def _heatmap(panel: Panel) -> heatmap.Panel:
    colours = heatmap.HeatmapColorOptions().mode(HeatmapColorMode.SCHEME).scheme("Oranges").steps(64)
    return heatmap.Panel().calculate(False).color(colours).y_axis(heatmap.YAxisConfig().unit(panel.unit))


def _traces(panel: Panel) -> table.Panel:

    query = tempo.Dataquery().ref_id("A").query_type("traceql").query(panel.traces).limit(20)
    return table.Panel().datasource(TEMPO).with_target(query.table_type(SearchTableType.TRACES).datasource(TEMPO))


def _alerts(_: Panel) -> dashboard.Panel:
    options = {
        "alertName": "Cuebox",
        "viewMode": "list",
        "groupMode": "default",
        "sortOrder": 3,
        "maxItems": 20,
        "stateFilter": {"firing": True, "pending": True, "error": True, "noData": False, "normal": False},
    }
    return dashboard.Panel().type("alertlist").options(options)


def _explore(traceql: str) -> str:
    pane = {
        "datasource": "${tempo}",
        "queries": [
            {"refId": "A", "datasource": {"type": "tempo", "uid": "${tempo}"}, "queryType": "traceql", "query": traceql}
        ],
        "range": {"from": "${__from}", "to": "${__to}"},
    }
    return "/explore?schemaVersion=1&panes=" + quote(json.dumps({"t": pane}), safe="${}")


DRAWN_BY: dict[str, Callable[[Panel], Visual]] = {
    "lines": _lines,
    "bars": _lines,
    "steps": _lines,
    "stat": _stat,
    "heatmap": _heatmap,
    "traces": _traces,
    "alerts": _alerts,
}
