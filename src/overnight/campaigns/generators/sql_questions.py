"""Questions in SQL about single tables, groups, joins and sets; `sql_deeper` has windows and nested queries."""

from collections.abc import Callable

from overnight.campaigns.generators.sql_parts import Part, Parts, Question, Seat, listed, narrowed
from overnight.campaigns.generators.sql_schemas import Table

Family = Callable[[Parts], Question]


def listing(parts: Parts) -> Question:
    """Ask for rows of one table."""
    seat = Seat(parts.table(lambda table: table.of("number", "date")))
    table, where = seat.table, parts.where(seat, 0.85)
    if parts.chance(0.2) and table.of("choice"):
        column = parts.random.choice(table.of("choice"))
        sql = f"SELECT DISTINCT {column.name} FROM {table.name}{where.sql}"
        said = f"Which different values of {column.said} are there among the {table.many}{where.said}?"
        if parts.chance(0.5):
            return Question(f"{sql} ORDER BY {column.name}", f"{said} Sort them.", ordered=True)
        return Question(sql, said)
    shown = parts.shown(seat, parts.random.randrange(1, 5))
    sql = f"SELECT {', '.join(part.sql for part in shown)} FROM {table.name}{where.sql}"
    said = f"Show the {listed([part.said for part in shown])} of the {table.many}{where.said}"
    return in_order(parts, seat, sql, said)


def figures(parts: Parts) -> Question:
    """Ask for some figures over all rows that fit."""
    seat = Seat(parts.table(lambda table: table.of("number")))
    where = parts.where(seat, 0.9)
    some = parts.measures(seat, 3)
    sql = f"SELECT {', '.join(part.sql for part in some)} FROM {seat.table.name}{where.sql}"
    of = f"for the {seat.table.many}{where.said}"
    return Question(sql, f"What {'is' if len(some) == 1 else 'are'} {listed([part.said for part in some])} {of}?")


def groups(parts: Parts) -> Question:
    """Ask for figures of each group, perhaps of some groups only."""
    if parts.chance(0.45):
        return _groups_of_parent(parts)
    seat = Seat(parts.table(lambda table: table.of("choice") and table.of("number")))
    keys = [_key(parts, seat)]
    if parts.chance(0.3):
        keys = list({key.sql: key for key in [*keys, _key(parts, seat)]}.values())
    return _grouped(parts, seat, seat.table.name, keys, parts.where(seat, 0.6))


def _groups_of_parent(parts: Parts) -> Question:
    child = parts.table(lambda table: table.links and table.of("number"))
    link, parent = parts.parent(child)
    seat, up = Seat(child, "c"), Seat(parent, "p")
    names = parent.of("choice", "label")
    column = parts.random.choice(names) if names else None
    key = Part(up.at(column.name if column else "id"), f"{column.said if column else 'id'} of the {parent.one}")
    source = f"{seat.source} JOIN {up.source} ON p.id = c.{link}"
    keys = [key]
    if child.of("choice") and parts.chance(0.25):
        keys.append(_key(parts, seat))
    where = parts.where(seat, 0.45)
    if not where.sql and parts.chance(0.5):
        more = parts.condition(up, 0)
        where = Part(f" WHERE {more.sql}", f" that belong to {parent.many} {more.said}")
    return _grouped(parts, seat, source, keys, where)


def _key(parts: Parts, seat: Seat) -> Part:
    if seat.table.of("date") and parts.chance(0.35):
        column = parts.random.choice(seat.table.of("date"))
        form, said = parts.random.choice((("%Y", "year"), ("%m", "month number"), ("%Y-%m", "year and month")))
        return Part(f"strftime('{form}', {seat.at(column.name)})", f"{said} of {column.said}")
    column = parts.random.choice(seat.table.of("choice"))
    return Part(seat.at(column.name), column.said)


def _grouped(parts: Parts, seat: Seat, source: str, keys: list[Part], where: Part) -> Question:
    some = parts.measures(seat, 2)
    by = ", ".join(key.sql for key in keys)
    sql = f"SELECT {by}, {', '.join(part.sql for part in some)} FROM {source}{where.sql} GROUP BY {by}"
    said = f"For each {listed([key.said for key in keys])}, what {'is' if len(some) == 1 else 'are'} "
    said += f"{listed([part.said for part in some])}, counting only {seat.table.many}{where.said}?"
    if not where.said:
        said = said.replace(f", counting only {seat.table.many}?", "?")
    if parts.chance(0.45):
        having = _having(parts, seat)
        sql, said = f"{sql} HAVING {having.sql}", f"{said} Keep only groups {having.said}."
    if parts.chance(0.4):
        return Question(f"{sql} ORDER BY {by}", f"{said} Sort by {listed([key.said for key in keys])}.", ordered=True)
    if parts.chance(0.5):
        down = parts.chance(0.7)
        cut = parts.cut()
        way = "largest" if down else "smallest"
        sql = f"{sql} ORDER BY {some[0].sql}{' DESC' * down}, {by}{cut.sql}"
        said = f"{said} The {way} {some[0].said.removeprefix('the ')} comes first, "
        return Question(sql, f"{said}ties by {listed([key.said for key in keys])}{cut.said}.", ordered=True)
    return Question(sql, said)


def _having(parts: Parts, seat: Seat) -> Part:
    count = parts.random.randrange(2, 15)
    forms = [
        Part(f"COUNT(*) > {count}", f"of more than {count} {seat.table.many}"),
        Part(f"COUNT(*) BETWEEN {count} AND {count + 20}", f"of {count} to {count + 20} {seat.table.many}"),
    ]
    column = parts.random.choice(seat.table.of("number"))
    at = seat.at(column.name)
    middle = parts.value(seat.table, column, 0.4, 0.6)
    high = parts.value(seat.table, column, 0.8, 0.95)
    forms += [
        Part(f"AVG({at}) > {middle}", f"whose average {column.said} is above {middle}"),
        Part(f"MAX({at}) >= {high}", f"whose highest {column.said} is at least {high}"),
        Part(f"MIN({at}) < {middle}", f"whose lowest {column.said} is below {middle}"),
    ]
    first, second = parts.random.sample(forms, 2)
    if parts.chance(0.15):
        return Part(f"{first.sql} AND {second.sql}", f"{first.said} and {second.said}")
    return first


def joins(parts: Parts) -> Question:
    """Ask for what stands in more than one table."""
    return parts.random.choice((_with_parent, _with_two, _with_children, _without_children, _pairs))(parts)


def _with_parent(parts: Parts) -> Question:
    child = parts.table(lambda table: table.links)
    link, parent = parts.parent(child)
    seat, up = Seat(child, "c"), Seat(parent, "p")
    mine, theirs = parts.shown(seat, parts.random.randrange(1, 3)), parts.shown(up, parts.random.randrange(1, 3))
    where = parts.where(seat, 0.7)
    said = f"Show the {listed([part.said for part in mine])} of the {child.many}{where.said}"
    said += f", together with {listed([part.said for part in theirs])} of their {parent.one}"
    condition = where.sql
    if parts.chance(0.4):
        more = parts.condition(up, 0)
        condition, said = narrowed(where.sql, more.sql), f"{said}, only for {parent.many} {more.said}"
    shown = ", ".join(part.sql for part in [*mine, *theirs])
    return in_order(
        parts, seat, f"SELECT {shown} FROM {seat.source} JOIN {up.source} ON p.id = c.{link}{condition}", said
    )


def _with_two(parts: Parts) -> Question:
    """Three tables: a row with both of its parents, or with its parent and that one's parent."""
    child = parts.table(lambda table: len(table.links) > 1 or any(_links(parts, to) for to in table.links.values()))
    link, parent = parts.parent(child)
    others = [(name, to) for name, to in child.links.items() if name != link]
    if parent.links and (not others or parts.chance(0.5)):
        other_link, other = parts.parent(parent)
        on, whose = f"q.id = p.{other_link}", f"{other.one} of that {parent.one}"
    else:
        other_link, to = parts.random.choice(others)
        other = parts.schema.tables[to]
        on, whose = f"q.id = c.{other_link}", other.one
    seat, up, far = Seat(child, "c"), Seat(parent, "p"), Seat(other, "q")
    source = f"{seat.source} JOIN {up.source} ON p.id = c.{link} JOIN {far.source} ON {on}"
    where = Part("", "")
    if parts.chance(0.8):
        place = parts.random.choice((seat, up, far))
        more = parts.condition(place, 0)
        where = Part(f" WHERE {more.sql}", f", only for {place.table.many} {more.said}")
    if parts.chance(0.5) and child.of("number"):
        key = _key(parts, far) if other.of("choice") and parts.chance(0.5) else parts.name_of(far)
        some = parts.measures(seat, 2)
        sql = f"SELECT {key.sql}, {', '.join(part.sql for part in some)} FROM {source}{where.sql} GROUP BY {key.sql}"
        said = f"For each {key.said} of the {whose}, show {listed([part.said for part in some])}{where.said}."
        if parts.chance(0.5):
            said = f"{said} Sort by the first figure, largest first, ties by {key.said}."
            return Question(f"{sql} ORDER BY {some[0].sql} DESC, {key.sql}", said, ordered=True)
        return Question(sql, said)
    shown = [*parts.shown(seat, 2), parts.name_of(up), parts.name_of(far)]
    said = f"Show the {listed([part.said for part in shown[:-2]])} of the {child.many}, {shown[-2].said} of the "
    said += f"{parent.one} and {shown[-1].said} of the {whose}{where.said}"
    return in_order(parts, seat, f"SELECT {', '.join(part.sql for part in shown)} FROM {source}{where.sql}", said)


def _links(parts: Parts, table: str) -> object:
    return parts.schema.tables[table].links


def _with_children(parts: Parts) -> Question:
    parent = parts.table(parts.schema.children)
    child, link = parts.child(parent)
    up, seat = Seat(parent, "p"), Seat(child, "c")
    name = parts.name_of(up)
    on, counted = f"c.{link} = p.id", child.many
    if parts.chance(0.5):
        more = parts.condition(seat, 0)
        on, counted = f"{on} AND {more.sql}", f"{child.many} {more.said}"
    figure = Part("COUNT(c.id)", f"the number of {counted}")
    if child.of("number") and parts.chance(0.4):
        column = parts.random.choice(child.of("number"))
        figure = Part(
            f"COALESCE(SUM(c.{column.name}), 0)", f"the sum of {column.said} over their {counted} (0 if none)"
        )
    where = parts.where(up, 0.4)
    shown = name.sql if name.sql == "p.id" else f"p.id, {name.sql}"
    sql = f"SELECT {shown}, {figure.sql} FROM {up.source} LEFT JOIN {seat.source} ON {on}{where.sql} GROUP BY {shown}"
    known = "id" if shown == "p.id" else f"id, {name.said}"
    said = f"For each of the {parent.many}{where.said}, also those without any, show {known} and {figure.said}."
    if parts.chance(0.3):
        count = parts.random.randrange(1, 5)
        sql, said = (
            f"{sql} HAVING COUNT(c.id) < {count}",
            f"{said} Keep those with fewer than {count} such {child.many}.",
        )
    if parts.chance(0.5):
        cut = parts.cut()
        sql = f"{sql} ORDER BY {figure.sql} DESC, p.id{cut.sql}"
        return Question(sql, f"{said} Sort by that figure, largest first, ties by id{cut.said}.", ordered=True)
    return Question(sql, said)


def _without_children(parts: Parts) -> Question:
    parent = parts.table(parts.schema.children)
    child, link = parts.child(parent)
    up, seat = Seat(parent, "p"), Seat(child, "c")
    more = parts.condition(seat, 0)
    shown = parts.shown(up, parts.random.randrange(1, 4))
    columns = ", ".join(part.sql for part in shown)
    on = f"c.{link} = p.id AND {more.sql}"
    sql = f"SELECT {columns} FROM {up.source} LEFT JOIN {seat.source} ON {on} WHERE c.id IS NULL"
    said = f"Show the {listed([part.said for part in shown])} of the {parent.many} without any {child.many} {more.said}"
    if parts.chance(0.4):
        other = parts.condition(up, 0)
        sql, said = f"{sql} AND {other.sql}", f"{said}, only for {parent.many} {other.said}"
    return in_order(parts, up, sql, said)


def _pairs(parts: Parts) -> Question:
    table = parts.table(lambda table: table.of("choice") and table.of("number") and table.rows < 121)
    first, second = Seat(table, "a"), Seat(table, "b")
    same, differs = parts.random.choice(table.of("choice")), parts.random.choice(table.of("number"))
    one, two = parts.name_of(first), parts.name_of(second)
    gap = parts.random.choice((f"a.{differs.name} = b.{differs.name}", f"a.{differs.name} > 2 * b.{differs.name}"))
    more = parts.condition(first, 0)
    sql = f"SELECT {one.sql}, {two.sql} FROM {first.source} JOIN {second.source} ON a.{same.name} = b.{same.name}"
    if "2 *" in gap:
        sql = f"{sql} WHERE {gap}"
        how = f"the {differs.said} of the first is more than twice that of the second"
    else:
        sql, how = (
            f"{sql} AND a.id < b.id WHERE {gap}",
            f"both have the same {differs.said} (each pair once, lower id first)",
        )
    said = f"Which pairs of {table.many} with the same {same.said} are there in which {how}?"
    if parts.chance(0.6):
        sql, said = f"{sql} AND {more.sql}", f"{said} The first must be one of the {table.many} {more.said}."
    return Question(sql, f"{said} Show {one.said} of both.")


def sets(parts: Parts) -> Question:
    """Ask for what is in one set, in both or in only one of two."""
    table = parts.table(lambda table: table.links or table.of("choice"))
    name, said_of = _element(parts, table)
    one, two = parts.conditions(Seat(table)), parts.conditions(Seat(table))
    word = parts.random.choice(("UNION", "UNION ALL", "INTERSECT", "EXCEPT"))
    left, right = f"SELECT {name} FROM {table.name} WHERE {one.sql}", f"SELECT {name} FROM {table.name} WHERE {two.sql}"
    first, second = f"the {table.many} {one.said}", f"the {table.many} {two.said}"
    said = {
        "UNION": f"Which different {said_of} occur among {first} or among {second}?",
        "UNION ALL": f"List the {said_of} of {first}, followed by those of {second}, with every repetition.",
        "INTERSECT": f"Which {said_of} occur both among {first} and among {second}?",
        "EXCEPT": f"Which {said_of} occur among {first}, but not among {second}?",
    }[word]
    sql = f"{left} {word} {right}"
    if parts.chance(0.25):
        return Question(f"SELECT COUNT(*) FROM ({sql}) AS both_sets", f"Count the answers to this: {said}")
    if parts.chance(0.5):
        return Question(f"{sql} ORDER BY {name}", f"{said} Sort them.", ordered=True)
    return Question(sql, said)


def _element(parts: Parts, table: Table) -> tuple[str, str]:
    if table.links and (parts.chance(0.5) or not table.of("choice")):
        link, parent = parts.parent(table)
        return link, f"ids of {parent.many}"
    column = parts.random.choice(table.of("choice"))
    return column.name, f"values of {column.said}"


def in_order(parts: Parts, seat: Seat, sql: str, said: str) -> Question:
    """Return a question for these rows: as they come, or sorted and perhaps cut."""
    if parts.chance(0.35) or not seat.table.of("number", "date", "label"):
        return Question(sql, f"{said}.")
    order, cut = parts.order(seat), parts.cut()
    return Question(f"{sql} ORDER BY {order.sql}{cut.sql}", f"{said}, {order.said}{cut.said}.", ordered=True)
