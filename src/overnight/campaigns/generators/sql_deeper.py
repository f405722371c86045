"""Questions in SQL about windows, nested queries, cases and dates."""

from overnight.campaigns.generators.sql_parts import Part, Parts, Question, Seat, listed
from overnight.campaigns.generators.sql_questions import in_order
from overnight.campaigns.generators.sql_schemas import Column, Table


def windows(parts: Parts) -> Question:
    """Ask for what a row is among its neighbours."""
    return parts.random.choice((_place, _place, _best_of_each, _running, _beside))(parts)


def _table_of_groups(parts: Parts) -> tuple[Seat, Column, Column]:
    """Return a table with a column that makes groups and one of numbers that are always there."""

    def measured(table: Table) -> list[Column]:
        return [column for column in table.of("number") if not column.missing]

    table = parts.table(lambda table: table.of("choice") and measured(table))
    return Seat(table), parts.random.choice(table.of("choice")), parts.random.choice(measured(table))


def _over(parts: Parts, group: Column, value: Column, *, ties: bool) -> Part:
    down = parts.chance(0.6)
    order = f"ORDER BY {value.name}{' DESC' * down}{', id' * (not ties)}"
    said = f"{'highest' if down else 'lowest'} {value.said} first{'' if ties else ', ties by id'}"
    if parts.chance(0.65):
        return Part(f"PARTITION BY {group.name} {order}", f"among those with the same {group.said}, {said}")
    return Part(order, f"among all, {said}")


def _place(parts: Parts) -> Question:
    seat, group, value = _table_of_groups(parts)
    word, said = parts.random.choice(
        (
            ("ROW_NUMBER()", "number each row"),
            ("RANK()", "give its rank, with gaps after ties,"),
            ("DENSE_RANK()", "give its rank, without gaps after ties,"),
            ("NTILE(4)", "give its quarter, 1 to 4,"),
        )
    )
    over = _over(parts, group, value, ties="RANK" in word)
    where = parts.where(seat, 0.6)
    columns = f"id, {group.name}, {value.name}"
    sql = f"SELECT {columns}, {word} OVER ({over.sql}) AS place FROM {seat.table.name}{where.sql}"
    text = f"Show the id, {group.said} and {value.said} of the {seat.table.many}{where.said}, and {said} {over.said}"
    return in_order(parts, seat, sql, text)


def _best_of_each(parts: Parts) -> Question:
    seat, group, value = _table_of_groups(parts)
    where, count = parts.where(seat, 0.6), parts.random.randrange(1, 4)
    down = parts.chance(0.6)
    table = seat.table
    inner = (
        f"SELECT id, {group.name}, {value.name}, ROW_NUMBER() OVER (PARTITION BY {group.name} "
        f"ORDER BY {value.name}{' DESC' * down}, id) AS place FROM {table.name}{where.sql}"
    )
    columns = f"id, {group.name}, {value.name}"
    if parts.chance(0.5):
        sql = f"WITH ranked AS ({inner}) SELECT {columns} FROM ranked WHERE place <= {count}"
    else:
        sql = f"SELECT {columns} FROM ({inner}) AS ranked WHERE place <= {count}"
    which = f"the {count} {table.many}" if count > 1 else f"the one of the {table.many}"
    said = f"For each {group.said}, show the id, {group.said} and {value.said} of {which} with the "
    said += f"{'highest' if down else 'lowest'} {value.said}, ties by id"
    said += f", looking only at {table.many}{where.said}" if where.said else ""
    if parts.chance(0.5):
        return Question(
            f"{sql} ORDER BY {group.name}, place",
            f"{said}. Sort by {group.said}, the first of each first.",
            ordered=True,
        )
    return Question(sql, f"{said}.")


def _running(parts: Parts) -> Question:
    table = parts.table(lambda table: table.of("date") and table.of("number"))
    seat, day, value = Seat(table), table.of("date")[0], parts.random.choice(table.of("number"))
    split = parts.random.choice(table.of("choice")) if table.of("choice") and parts.chance(0.5) else None
    by = f"PARTITION BY {split.name} " if split else ""
    order = f"{by}ORDER BY {day.name}, id"
    before = parts.random.randrange(1, 5)
    frame = f"ROWS BETWEEN {before} PRECEDING AND CURRENT ROW"
    word, said = parts.random.choice(
        (
            (f"SUM({value.name}) OVER ({order})", f"the running sum of {value.said}"),
            (f"COUNT(*) OVER ({order})", "how many there were until then"),
            (f"MAX({value.name}) OVER ({order})", f"the highest {value.said} until then"),
            (f"AVG({value.name}) OVER ({order} {frame})", f"the average {value.said} of it and the {before} before it"),
            (f"SUM({value.name}) OVER ({order} {frame})", f"the sum of {value.said} of it and the {before} before it"),
        )
    )
    # Without the key in the frame's order, rows of one day would be one step.
    where = parts.where(seat, 0.7)
    sql = f"SELECT id, {day.name}, {word} AS so_far FROM {table.name}{where.sql}"
    text = f"Show the id and {day.said} of the {table.many}{where.said}, and {said}, in the order of {day.said}"
    return in_order(parts, seat, sql, f"{text}, ties by id" + (f", for each {split.said} apart" if split else ""))


def _beside(parts: Parts) -> Question:
    seat, group, value = _table_of_groups(parts)
    at, said, own = value.name, value.said, f"of its {group.said}"
    each = f"PARTITION BY {group.name}"
    word, what = parts.random.choice(
        (
            (f"{at} - LAG({at}) OVER (ORDER BY id)", f"how much more its {said} is than that of the row before, by id"),
            (f"LEAD({at}) OVER (ORDER BY id)", f"the {said} of the next row by id"),
            (f"LAG({at}) OVER ({each} ORDER BY id)", f"the {said} of the one before with the same {group.said}, by id"),
            (f"{at} - AVG({at}) OVER ({each})", f"how far its {said} is above the average {own}"),
            (f"100.0 * {at} / SUM({at}) OVER ()", f"its share of the whole {said}, in percent"),
            (f"100.0 * {at} / SUM({at}) OVER ({each})", f"its share of the {said} {own}, in percent"),
            (f"COUNT(*) OVER ({each})", f"how many have its {group.said}"),
            (f"MAX({at}) OVER ({each}) - {at}", f"how far its {said} is below the highest {own}"),
        )
    )
    where = parts.where(seat, 0.7)
    sql = f"SELECT id, {group.name}, {word} AS beside FROM {seat.table.name}{where.sql}"
    text = f"Show the id and {group.said} of the {seat.table.many}{where.said}, and {what}"
    return in_order(parts, seat, sql, text + (", counting only these" if where.said else ""))


def nested(parts: Parts) -> Question:
    """Ask for what needs the answer to another question first."""
    return parts.random.choice((_above_own_group, _figure_of_groups, _top_group, _with_count, _share_of_parent))(parts)


def _above_own_group(parts: Parts) -> Question:
    seat, group, value = _table_of_groups(parts)
    table, here = seat.table, Seat(seat.table, "a")
    figure, said = parts.random.choice((("AVG", "the average"), ("MAX", "the highest"), ("MIN", "the lowest")))
    sign, how = parts.random.choice(((">", "above"), ("<", "below"))) if figure == "AVG" else ("=", "equal to")
    inner = f"SELECT {figure}(b.{value.name}) FROM {table.name} AS b WHERE b.{group.name} = a.{group.name}"
    shown = parts.shown(here, parts.random.randrange(1, 4))
    sql = f"SELECT {', '.join(part.sql for part in shown)} FROM {here.source} WHERE a.{value.name} {sign} ({inner})"
    text = f"Show the {listed([part.said for part in shown])} of the {table.many} whose {value.said} is {how} {said} "
    text += f"of those with the same {group.said}"
    if parts.chance(0.5):
        more = parts.condition(here)
        sql, text = f"{sql} AND {more.sql}", f"{text}, only for {table.many} {more.said}"
    return in_order(parts, here, sql, text)


def _figure_of_groups(parts: Parts) -> Question:
    child = parts.table(lambda table: table.links)
    link, parent = parts.parent(child)
    seat = Seat(child)
    inner, where = parts.measure(seat), parts.where(seat, 0.7)
    while inner.sql.startswith(("MIN(", "MAX(")):
        inner = parts.measure(seat)
    outer, said = parts.random.choice((("AVG", "average"), ("MAX", "highest"), ("MIN", "lowest"), ("COUNT", "number")))
    head = f"SELECT {outer}(figure) FROM"
    body = f"SELECT {link}, {inner.sql} AS figure FROM {child.name}{where.sql} GROUP BY {link}"
    whose = f"the {child.many}{where.said}"
    text = f"For each {parent.one}, compute {inner.said}, looking at {whose}. What is the {said} of these figures?"
    if outer == "COUNT":
        text = f"How many {parent.many} have any of {whose}, with a figure for this: {inner.said}?"
    if parts.chance(0.5):
        return Question(f"WITH figures AS ({body}) {head} figures", text)
    return Question(f"{head} ({body}) AS figures", text)


def _top_group(parts: Parts) -> Question:
    table = parts.table(lambda table: table.of("choice"))
    group, seat = parts.random.choice(table.of("choice")), Seat(table)
    where = parts.where(seat, 0.6)
    figure, said = parts.random.choice((("MAX", "most"), ("MIN", "fewest")))
    inner = f"SELECT COUNT(*) AS n FROM {table.name}{where.sql} GROUP BY {group.name}"
    sql = f"SELECT {group.name}, COUNT(*) FROM {table.name}{where.sql} GROUP BY {group.name} "
    sql += f"HAVING COUNT(*) = (SELECT {figure}(n) FROM ({inner}) AS sizes)"
    text = f"Which {group.said} has the {said} {table.many}{where.said}, and how many? Show all in case of a tie."
    return Question(sql, text)


def _with_count(parts: Parts) -> Question:
    parent = parts.table(parts.schema.children)
    child, link = parts.child(parent)
    up, seat = Seat(parent, "p"), Seat(child, "c")
    figure = parts.measure(seat)
    name = parts.name_of(up)
    rows = f"SELECT {figure.sql} FROM {seat.source} WHERE c.{link} = p.id"
    extra = ""
    if parts.chance(0.5):
        more = parts.condition(seat, 0)
        rows, extra = f"{rows} AND {more.sql}", f" {more.said}"
    where = parts.where(up, 0.5)
    sql = f"SELECT {name.sql}, ({rows}) AS figure FROM {up.source}{where.sql}"
    text = (
        f"Show the {name.said} of all {parent.many}{where.said}, each with {figure.said} over its {child.many}{extra}"
    )
    return in_order(parts, up, sql, text)


def _share_of_parent(parts: Parts) -> Question:
    child = parts.table(lambda table: table.links and table.of("number"))
    link, parent = parts.parent(child)
    value = parts.random.choice(child.of("number"))
    up, seat = Seat(parent, "p"), Seat(child)
    where = parts.where(seat, 0.5)
    figure, said = parts.random.choice((("SUM", "sum"), ("AVG", "average"), ("MAX", "highest")))
    body = f"SELECT {link}, {figure}({value.name}) AS figure FROM {child.name}{where.sql} GROUP BY {link}"
    name = parts.name_of(up)
    sign, how = parts.random.choice(((">", "above"), ("<", "below")))
    sql = f"WITH figures AS ({body}) SELECT {name.sql}, f.figure FROM {up.source} JOIN figures AS f ON f.{link} = p.id "
    sql += f"WHERE f.figure {sign} (SELECT AVG(figure) FROM figures)"
    text = f"For each {parent.one}, take the {said} of {value.said} over the {child.many}{where.said}. "
    text += (
        f"Show the {name.said} and that figure of the {parent.many} for which it is {how} the average of these figures"
    )
    return in_order(parts, up, sql, text)


def cases(parts: Parts) -> Question:
    """Ask for bands, conditional figures, and what stands for a missing value."""
    return parts.random.choice((_bands, _counted_apart, _counted_apart, _instead_of_missing))(parts)


def _bands(parts: Parts) -> Question:
    seat, group, value = _table_of_groups(parts)
    table = seat.table
    low, high = parts.value(table, value, 0.2, 0.4), parts.value(table, value, 0.6, 0.8)
    where, some = parts.where(seat, 0.6), parts.measures(seat, 2)
    figures = ", ".join(part.sql for part in some)
    banded = f"when {value.said} is below {low}"
    if parts.chance(0.5):
        case = f"CASE WHEN {value.name} < {low} THEN 'low' WHEN {value.name} < {high} THEN 'middle' ELSE 'high' END"
        said = f"'low' {banded}, 'middle' when it is below {high}, else 'high'"
    else:
        case, said = f"CASE WHEN {value.name} < {low} THEN 'low' ELSE 'high' END", f"'low' {banded}, else 'high'"
    keys, by = f"{case} AS band", "band"
    text = f"Put the {table.many}{where.said} into bands ({said}) and show for each band"
    if parts.chance(0.4):
        keys, by, text = f"{group.name}, {keys}", f"{group.name}, band", f"{text} of each {group.said}"
    sql = f"SELECT {keys}, {figures} FROM {table.name}{where.sql} GROUP BY {by}"
    shown = listed([part.said for part in some])
    if parts.chance(0.5):
        return Question(f"{sql} ORDER BY {by}", f"{text} {shown}. Sort by {by.replace('_', ' ')}.", ordered=True)
    return Question(sql, f"{text} {shown}.")


def _counted_apart(parts: Parts) -> Question:
    seat, group, value = _table_of_groups(parts)
    table, one = seat.table, parts.conditions(seat, 0)
    ones = f"SUM(CASE WHEN {one.sql} THEN 1 ELSE 0 END)"
    forms = [
        Part(ones, f"how many are {table.many} {one.said}"),
        Part(f"COUNT(*) FILTER (WHERE {one.sql})", f"how many are {table.many} {one.said}"),
        Part(f"100.0 * {ones} / COUNT(*)", f"how many percent are {table.many} {one.said}"),
        Part(f"SUM({value.name}) FILTER (WHERE {one.sql})", f"the sum of {value.said} of those {one.said}"),
        Part(f"AVG(CASE WHEN {one.sql} THEN {value.name} END)", f"the average {value.said} of those {one.said}"),
    ]  # fmt: skip
    figure = parts.random.choice(forms)
    whole = parts.measure(seat)
    where = parts.where(seat, 0.3)
    if parts.chance(0.25):
        sql = f"SELECT {figure.sql}, {whole.sql} FROM {table.name}{where.sql}"
        return Question(sql, f"Of the {table.many}{where.said}, show {figure.said}, and {whole.said}.")
    sql = f"SELECT {group.name}, {figure.sql}, {whole.sql} FROM {table.name}{where.sql} GROUP BY {group.name}"
    text = f"For each {group.said} of the {table.many}{where.said}, show {figure.said}, and {whole.said}."
    if parts.chance(0.4):
        return Question(f"{sql} ORDER BY {group.name}", f"{text} Sort by {group.said}.", ordered=True)
    return Question(sql, text)


def _instead_of_missing(parts: Parts) -> Question:
    table = parts.table(lambda table: any(column.missing for column in table.columns))
    seat = Seat(table)
    column = parts.random.choice([column for column in table.columns if column.missing])
    where = parts.where(seat, 0.7)
    instead = "0" if column.kind == "number" else "'none'"
    value = Part(f"COALESCE({column.name}, {instead})", f"{column.said} ({instead} where there is none)")
    if column.kind == "choice" and parts.chance(0.6):
        some = parts.measures(seat, 2)
        figures = ", ".join(part.sql for part in some)
        sql = f"SELECT {value.sql} AS known, {figures} FROM {table.name}{where.sql} GROUP BY known"
        return Question(
            sql, f"For each {value.said}, show {listed([part.said for part in some])}, of {table.many}{where.said}."
        )
    shown = [*parts.shown(seat, 2), value]
    sql = f"SELECT {', '.join(part.sql for part in shown)} FROM {table.name}{where.sql}"
    return in_order(
        parts, seat, sql, f"Show the {listed([part.said for part in shown])} of the {table.many}{where.said}"
    )


def dates(parts: Parts) -> Question:
    """Ask for spans, months, and what was first or last."""
    return parts.random.choice((_spans, _by_time, _last_of_each, _spans_of_groups))(parts)


def _span(parts: Parts, table: Table) -> Part:
    days = table.of("date")
    late = next((column for column in days[1:] if column.missing), None)
    if late and parts.chance(0.7):
        sql = f"julianday({late.name}) - julianday({days[0].name})"
        return Part(sql, f"the days from {days[0].said} to {late.said}")
    day = f"{parts.random.randrange(2025, 2027)}-0{parts.random.randrange(1, 10)}-01"
    return Part(f"julianday('{day}') - julianday({days[0].name})", f"the days from {days[0].said} to {day}")


def _spans(parts: Parts) -> Question:
    table = parts.table(lambda table: table.of("date"))
    seat, span = Seat(table), _span(parts, table)
    where = parts.where(seat, 0.7)
    name = parts.name_of(seat)
    sql = f"SELECT {name.sql}, {span.sql} AS days FROM {table.name}{where.sql}"
    return in_order(parts, seat, sql, f"Show the {name.said} of the {table.many}{where.said} and {span.said}")


def _spans_of_groups(parts: Parts) -> Question:
    table = parts.table(lambda table: table.of("date") and table.of("choice"))
    seat, span, group = Seat(table), _span(parts, table), parts.random.choice(table.of("choice"))
    where = parts.where(seat, 0.7)
    word, said = parts.random.choice((("AVG", "average"), ("MAX", "highest"), ("MIN", "lowest")))
    sql = f"SELECT {group.name}, {word}({span.sql}) FROM {table.name}{where.sql} GROUP BY {group.name}"
    text = f"For each {group.said}, what is the {said} of {span.said}, over the {table.many}{where.said}?"
    if parts.chance(0.4):
        count = parts.random.randrange(2, 12)
        sql, text = f"{sql} HAVING COUNT(*) > {count}", f"{text} Leave out groups of {count} or fewer."
    if parts.chance(0.4):
        return Question(f"{sql} ORDER BY {group.name}", f"{text} Sort by {group.said}.", ordered=True)
    return Question(sql, text)


def _by_time(parts: Parts) -> Question:
    table = parts.table(lambda table: table.of("date"))
    seat, day = Seat(table), parts.random.choice(table.of("date"))
    form, said = parts.random.choice(
        (("%Y", "year"), ("%m", "month number"), ("%Y-%m", "year and month"), ("%w", "weekday number (0 is Sunday)"))
    )
    where, some = parts.where(seat, 0.7), parts.measures(seat, 2)
    if day.missing:
        where = Part(f" WHERE {day.name} IS NOT NULL", f" that have a known {day.said}")
    sql = f"SELECT strftime('{form}', {day.name}) AS span, {', '.join(part.sql for part in some)} FROM {table.name}"
    sql = f"{sql}{where.sql} GROUP BY span"
    text = f"For each {said} of {day.said}, show {listed([part.said for part in some])}, of {table.many}{where.said}."
    if parts.chance(0.3):
        count = parts.random.randrange(2, 8)
        sql, text = f"{sql} HAVING COUNT(*) >= {count}", f"{text} Leave out those with fewer than {count} {table.many}."
    if parts.chance(0.6):
        cut = parts.cut()
        down = parts.chance(0.4)
        text = f"{text} Sort by it, {'latest' if down else 'earliest'} first{cut.said}."
        return Question(f"{sql} ORDER BY span{' DESC' * down}{cut.sql}", text, ordered=True)
    return Question(sql, text)


def _last_of_each(parts: Parts) -> Question:
    child = parts.table(lambda table: table.links and table.of("date"))
    link, parent = parts.parent(child)
    seat, up, day = Seat(child, "c"), Seat(parent, "p"), child.of("date")[0]
    name = parts.name_of(up)
    word, said = parts.random.choice((("MAX", "latest"), ("MIN", "earliest")))
    where = parts.where(seat, 0.7)
    sql = f"SELECT p.id, {name.sql}, " if name.sql != "p.id" else "SELECT p.id, "
    by = f"p.id, {name.sql}" if name.sql != "p.id" else "p.id"
    sql += f"{word}(c.{day.name}) FROM {up.source} JOIN {seat.source} ON c.{link} = p.id{where.sql} GROUP BY {by}"
    also = "" if name.sql == "p.id" else f", {name.said}"
    text = f"For each {parent.one}, show the id{also} and the {said} {day.said} of its {child.many}{where.said}."
    if parts.chance(0.4):
        limit = parts.value(child, day, 0.3, 0.7)
        sql = f"{sql} HAVING {word}(c.{day.name}) < '{limit}'"
        text = f"{text} Only those for which that is before {limit}."
    if parts.chance(0.5):
        return Question(
            f"{sql} ORDER BY {word}(c.{day.name}), p.id", f"{text} Sort by that date, ties by id.", ordered=True
        )
    return Question(sql, text)
