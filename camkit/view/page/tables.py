"""The tables of figures: methods, classes, images by number of classes, parts of objects, seeds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from camkit.agreement import PARTS, agreement_words, shares_of
from camkit.evaluate.comparison import Difference
from camkit.evaluate.render import interval_words, summary_lines
from camkit.evaluate.report import GroupRow, Report
from camkit.view.page.content import Method
from camkit.view.page.markup import NOTHING, bar, cell, figure_cells, head, percent, swatch, table, text

Measured = Sequence[tuple[int, Method, Report]]
"""The methods with a report, and their number among all, which is their colour."""

FIGURES: tuple[tuple[str, str, bool, Callable[[Report], float | None]], ...] = (
    (
        "mIoU",
        "mean over classes of intersection over union; below it, what 95 % of bootstrap draws give",
        False,
        lambda report: report.miou,
    ),
    ("precision", "mean over classes", False, lambda report: report.precision),
    ("recall", "mean over classes", False, lambda report: report.recall),
    ("FP", "false positives, share of the union, mean over foreground", True, lambda report: report.fp_rate),
    ("FN", "false negatives, share of the union, mean over foreground", True, lambda report: report.fn_rate),
    ("mAP", "mean of the classes' pixel-wise average precision", False, lambda report: report.mean_average_precision),
)


def measured(methods: Sequence[Method]) -> Measured:
    """The methods that were compared with a ground truth."""
    return [(number, method, method.report) for number, method in enumerate(methods) if method.report is not None]


def method_list(methods: Sequence[Method]) -> str:
    """Names and how each was made, where there are no figures."""
    items = (
        f"<div><dt>{swatch(number)}{text(method.name)}</dt><dd>{text(_about(method))}</dd></div>"
        for number, method in enumerate(methods)
    )
    return f'<section><h2>Methods</h2><dl class="methods">{"".join(items)}</dl></section>'


def method_table(methods: Sequence[Method]) -> str:
    """A row per method, and over what it was measured."""
    known = measured(methods)
    columns = {number: _figures(known, number) for number in range(len(FIGURES))}
    shown = [number for number, cells in columns.items() if cells]
    extras = [(name, about, cells) for name, about, cells in _extras(methods) if any(cells)]
    heads = [head("method"), *(head(*FIGURES[number][:2], barred=number == 0) for number in shown)]
    heads += [head(name, about) for name, about, _ in extras]
    places = {number: place for place, (number, _, _) in enumerate(known)}
    rows = []
    for number, method in enumerate(methods):
        cells = [_method_head(number, method, method.about)]
        cells += [columns[column][places[number]] if number in places else cell(NOTHING) for column in shown]
        rows.append("".join([*cells, *(column[number] or cell(NOTHING) for _, _, column in extras)]))
    bold = "; the best of each column is bold" if len(known) > 1 else ""
    figures = table("methods", f"In percent{bold}.", heads, rows)
    return f"<section><h2>Methods</h2>{_over(known)}{figures}{_fine_print(known)}</section>"


def class_table(methods: Sequence[Method]) -> str:
    """IoU per class and method, background first, and the means."""
    known = measured(methods)
    rows = {row.name: row.pixels for _, _, report in reversed(known) for row in report.classes}
    names = list(dict.fromkeys(row.name for _, _, report in known for row in report.classes))
    ious = [{row.name: row.iou for row in report.classes} for _, _, report in known]
    names = [name for name in names if rows[name] or any(by_class.get(name) is not None for by_class in ious)]
    total = max(sum(rows.values()), 1)
    numbers = [number for number, _, _ in known]
    body = (
        _row_head(name)
        + cell(percent(rows[name] / total), rows[name] / total)
        + "".join(figure_cells([by_class.get(name) for by_class in ious], numbers=numbers))
        for name in names
    )
    heads = [head("class"), head("share", "of the ground truth's pixels")]
    heads += [head(method.name, before=swatch(number), barred=True) for number, method, _ in known]
    means = figure_cells([report.miou for _, _, report in known], numbers=numbers)
    foot = '<th scope="row">mean</th><td></td>' + "".join(means)
    figures = table("classes", "IoU in percent.", heads, body, foot=foot)
    return f"<section><h2>Classes</h2>{figures}</section>"


def group_table(methods: Sequence[Method]) -> str:
    """mIoU of the images with one, two and more classes: a column each."""
    known = measured(methods)
    groups = [{row.classes: row for row in report.by_class_count} for _, _, report in known]
    names = sorted({name for group in groups for name in group})
    if not names:
        return ""
    columns = [figure_cells([group[name].miou if name in group else None for group in groups]) for name in names]
    rows = [
        _method_head(number, method) + "".join(column[place] for column in columns)
        for place, (number, method, _) in enumerate(known)
    ]
    heads = [head("method"), *(_group_head(name, groups) for name in names)]
    about = "mIoU in percent, by how many classes an image's ground truth holds."
    return f"<section><h2>Images by number of classes</h2>{table('groups', about, heads, rows)}</section>"


def part_table(methods: Sequence[Method]) -> str:
    """Recall of the parts of objects: a column each."""
    known = [(number, method, report) for number, method, report in measured(methods) if report.parts]
    recalls = [{row.name: row.recall for row in report.parts} for _, _, report in known]
    names = list(dict.fromkeys(name for row in recalls for name in row))
    if not names:
        return ""
    columns = [figure_cells([row.get(name) for row in recalls]) for name in names]
    rows = [
        _method_head(number, method) + "".join(column[place] for column in columns)
        for place, (number, method, _) in enumerate(known)
    ]
    about = "Recall in percent: the share of a part's pixels that carry the right class."
    figures = table("parts", about, [head("method"), *map(head, names)], rows)
    return f"<section><h2>Parts of objects</h2>{figures}</section>"


def seed_table(methods: Sequence[Method]) -> str:
    """Signed scores as seeds: a row per method and margin."""
    known = [(number, method, report) for number, method, report in measured(methods) if report.seeds]
    rows = [
        f"{_method_head(number, method)}{cell(f'±{row.margin:g}')}"
        + "".join(cell(percent(value)) for value in (row.miou, row.precision, row.recall, row.decided))
        for number, method, report in known
        for row in report.seeds
    ]
    if not rows:
        return ""
    heads = map(head, ("method", "margin", "mIoU", "precision", "recall", "decided"))
    caption = "In percent; recall is of all pixels, mIoU and precision of the decided ones."
    return f"<section><h2>Signed seeds</h2>{table('seeds', caption, heads, rows)}</section>"


def agreement_table(methods: Sequence[Method]) -> str:
    """Of networks that learned from saliency, how well it fits their labels: a row for each part of the photos."""
    known = [(number, method, shares_of(method.agreement)) for number, method in enumerate(methods)]
    known = [one for one in known if one[2]]
    if not known:
        return ""
    rows = [
        f'<th scope="row">{part / PARTS:.1f} to {(part + 1) / PARTS:.1f}</th>'
        + "".join(
            cell(percent(shares[part]), shares[part], beside=bar(shares[part], number)) for number, _, shares in known
        )
        for part in range(PARTS)
    ]
    heads = [head("agreement"), *(head(method.name, before=swatch(number), barred=True) for number, method, _ in known)]
    told = "; ".join(f"{method.name}: {agreement_words(method.agreement)}" for _, method, _ in known)
    about = (
        "Photos in percent, by how well the saliency that a network learned from fits their labels: mean IoU of "
        f"background and objects. {told}."
    )
    return f"<section><h2>Saliency against labels</h2>{table('agreement', about, heads, rows)}</section>"


def _figures(known: Measured, column: int) -> list[str]:
    """The cells of one figure, a cell per measured method; nothing where no method has it."""
    _, _, lowest, figure = FIGURES[column]
    values = [figure(report) for _, _, report in known]
    if all(value is None for value in values):
        return []
    if column:
        return figure_cells(values, lowest=lowest)
    sure = ["" if report.interval is None else interval_words(report.interval) for _, _, report in known]
    return figure_cells(values, numbers=[number for number, _, _ in known], below=sure)


def _extras(methods: Sequence[Method]) -> Iterator[tuple[str, str, list[str]]]:
    """Columns that are no shares: name, explanation, a cell per method ("" where there is nothing to say)."""
    yield (
        f"less {methods[0].name}" if methods else "",
        "mIoU less that of the first method, and what 95 % of bootstrap draws of the images give, the same for both",
        [_difference(method.difference) for method in methods],
    )
    yield "threshold", "", [_threshold(method.report) for method in methods]
    yield (
        "time",
        "",
        ["" if method.seconds is None else cell(duration(method.seconds), method.seconds) for method in methods],
    )
    yield (
        "images",
        "",
        [
            "" if method.report is None else cell(f"{method.report.images:,}", method.report.images)
            for method in methods
        ],
    )


def _difference(difference: Difference | None) -> str:
    if difference is None or difference.miou is None:
        return ""
    below = "" if difference.interval is None else interval_words(difference.interval, signed=True)
    return cell(f"{100 * difference.miou:+.1f}", difference.miou, below=f"<small>{text(below)}</small>")


def _threshold(report: Report | None) -> str:
    if report is None or report.threshold is None:
        return ""
    return cell(f"{report.threshold:g}", report.threshold, below=f"<small>{text(report.threshold_choice)}</small>")


def duration(seconds: float) -> str:
    """As a person would say it."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 120:
        return f"{whole} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60:02} min"


def _over(known: Measured) -> str:
    """What the figures were measured on: said once where it is the same for all."""
    names: dict[str, list[str]] = {}
    for _, method, report in known:
        names.setdefault(_measured_on(report), []).append(method.name)
    lines = [line if len(names) == 1 else f"{', '.join(who)}: {line}" for line, who in names.items()]
    return "".join(f'<p class="over">{text(line)}</p>' for line in lines)


def _measured_on(report: Report) -> str:
    images = f"{report.images:,} image{'' if report.images == 1 else 's'}"
    split = f" of {report.split}" if report.split else ""
    truth = f"ground truth {report.truth}" if report.truth else ""
    undecided = f"{percent(report.undecided)} % undecided" if report.undecided else ""
    ignored = f"{percent(report.ignored)} % of its pixels ignored"
    tags = f"classes of each image {report.tags}" if report.tags else ""
    over = f"means over {', '.join(report.mean_over)}" if report.mean_over else ""
    return " · ".join(part for part in (images + split, truth, tags, over, ignored, undecided) if part)


def _fine_print(known: Measured) -> str:
    terms = (
        f"<dt>{text(method.name)}</dt>" + "".join(f"<dd>{text(line)}</dd>" for line in summary_lines(report))
        for _, method, report in known
    )
    return f"<details><summary>How this was measured</summary><dl>{''.join(terms)}</dl></details>"


def _method_head(number: int, method: Method, about: str = "") -> str:
    below = f"<small>{text(about)}</small>" if about else ""
    return f'<th scope="row"><span>{swatch(number)}{text(method.name)}</span>{below}</th>'


def _group_head(name: str, groups: Sequence[Mapping[str, GroupRow]]) -> str:
    """With the number of images, where it is the same for all methods."""
    counts = {group[name].images if name in group else 0 for group in groups}
    images = f"<small>{counts.pop():,} images</small>" if len(counts) == 1 else ""
    return head(f"{name} class{'' if name == '1' else 'es'}", below=images)


def _row_head(name: str) -> str:
    return f'<th scope="row">{text(name)}</th>'


def _about(method: Method) -> str:
    return " · ".join(
        part for part in (method.about, "" if method.seconds is None else duration(method.seconds)) if part
    )
