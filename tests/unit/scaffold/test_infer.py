"""Settings inferred from tables."""

import time
from dataclasses import replace
from datetime import date

import numpy as np
import pandas as pd
import pytest

from pipeline.errors import TableError
from pipeline.scaffold.column_names import (
    is_code_name,
    is_identifier_name,
    is_owner_name,
    is_postal_code_name,
    is_row_number_name,
    is_time_name,
)
from pipeline.scaffold.infer import InferredSettings, infer
from pipeline.scaffold.new_pipeline import describe

N = 400


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def infer_columns(target: object, **columns: object) -> InferredSettings:
    """Return the settings inferred from a table with a numeric column, the given columns and the target."""
    size = np.random.default_rng(1).normal(50, 10, N).round(3)
    return infer(pd.DataFrame({"size": size, **columns, "y": target}), "y", "data.csv")


def noise() -> np.ndarray:
    return np.random.default_rng(2).normal(size=N)


@pytest.mark.parametrize(
    ("values", "task", "reason"),
    [
        (["yes", "no"], "classification", "text with 2 classes: 'yes' (200 rows), 'no' (200 rows)"),
        ([True, False], "classification", "booleans"),
        ([True, False, None, True], "classification", "booleans"),
        ([0, 1], "classification", "2 different integers"),
        ([1.0, 2.0, np.nan, 1.0], "classification", "2 different integers"),
        (range(10), "classification", "10 different integers"),
        (range(16), "regression", "16 different integers, which may also be classes"),
        (range(40), "regression", "40 different numbers"),
        ([0.5, 1, 1.5, 2], "regression", "fractional numbers"),
        ([*range(4)] * 24 + [9] * 4, "classification", "5 different integers"),
        ([*range(4)] * 49 + [9] * 4, "regression", "one in only 8 rows, which may also be classes"),
    ],
)
def test_the_task_follows_from_the_target(values: list[object], task: str, reason: str) -> None:
    values = list(values)
    inferred = infer_columns((values * N)[:N])
    assert inferred.task == task
    assert reason in inferred.task_reason
    if "may also be classes" in reason:
        assert "to change it, use --task classification" in inferred.notes[0]
    if task == "classification" and "integers" in reason:
        notes = [note for note in inferred.notes if "to change it, use --task regression" in note]
        assert len(notes) == (values != [0, 1])


def test_the_task_can_be_set(rng: np.random.Generator) -> None:
    table = pd.DataFrame({"size": rng.normal(size=N), "y": rng.integers(0, 16, N)})
    assert infer(table, "y", "t", "classification").strategy == "stratified"
    assert infer(table.assign(y=table["y"] % 2), "y", "t", "regression").strategy == "random"


@pytest.mark.parametrize(
    ("target", "task", "named"),
    [
        (["same"] * N, None, "is 'same' in every row.*choose a target that varies"),
        ([np.nan] * N, None, "has no values"),
        ([f"name {i}" for i in range(N)], None, "400 different values in 400 rows, too many for classes"),
        ([f"name {i % 300}" for i in range(N)], None, "300 different values"),
        (["a", "b"] * (N // 2 - 1) + ["a", "odd"], None, "a single row.*'odd'.*merge the classes"),
        ([*map(str, range(N - 1)), "a lot"], None, "except in 1 row, such as 'a lot' in row 400"),
        ([f"2024-01-{1 + i % 28:02d}" for i in range(N)], None, "contains dates, such as '2024-01-01'"),
        (pd.date_range("2024-01-01", periods=N), None, "neither a number nor a class"),
        ([[1, 2]] * N, None, "neither a number nor a class"),
        (["a", "b"] * (N // 2), "regression", "contains 'a', but the target of a regression must be numeric"),
        (noise(), "classification", "too many for classes"),
        ([1.0, 2.0] + [np.nan] * (N - 2), None, "2 different rows with a value, too few"),
    ],
)
def test_unusable_target_is_an_error(target: object, task: str | None, named: str) -> None:
    table = pd.DataFrame({"size": noise(), "y": target})
    with pytest.raises(TableError, match=f"(?s)data.csv: the target 'y'.*{named}"):
        infer(table, "y", "data.csv", task)  # type: ignore[arg-type]


def test_unknown_target_column_is_an_error_with_the_closest_name() -> None:
    table = pd.DataFrame({"size": noise(), "price": noise()})
    with pytest.raises(TableError, match=r"(?s)no column 'Price'.*did you mean 'price'"):
        infer(table, "Price", "data.csv")
    with pytest.raises(TableError, match=r"(?s)no column 'zzz'.*size, price"):
        infer(table, "zzz", "data.csv")


def test_table_without_inputs_is_an_error_with_the_reasons() -> None:
    table = pd.DataFrame({"id": range(N), "one": 1, "y": noise()})
    with pytest.raises(TableError, match="no column to predict 'y' from: id: row numbers; one: the same"):
        infer(table, "y", "data.csv")


def test_identifiers_are_dropped_and_measurements_kept(rng: np.random.Generator) -> None:
    shuffled = rng.permutation(N)
    inferred = infer_columns(
        noise(),
        row=range(N),
        shuffled=shuffled + 1000,
        gaps=np.sort(rng.choice(N + 20, N, replace=False)),
        tens=np.arange(N) * 10,
        PassengerId=rng.choice(10**9, N, replace=False),
        ref=[f"R-{number}" for number in shuffled],
        checksum=[f"{number:032x}" for number in rng.integers(1, 2**60, N)],
        session=[f"{number:020x}" for number in rng.integers(2**62, 2**63 - 1, N // 4).repeat(4)],
        phone_id=pd.Series(rng.integers(0, 80, N)).where(rng.random(N) < 0.9),
        shop_id=rng.integers(0, 5, N),
        measured=rng.normal(size=N),
        population=rng.choice(10**6, N, replace=False),
        year=np.arange(N) + 1600,
        paid=rng.integers(0, 1000, N),
    )
    assert inferred.drop == {
        "row": "row numbers",
        "shuffled": "row numbers",
        "gaps": "row numbers",
        "tens": "row numbers",
        "PassengerId": "an identifier, different in every row",
        "ref": "an identifier, different in every row",
        "checksum": "an identifier, different in every row",
        "session": "an identifier with 100 different values, about 4.0 rows each",
        "phone_id": inferred.drop["phone_id"],
    }
    assert inferred.drop["phone_id"].startswith("an identifier with 79 different values, about 4.")
    assert inferred.categorical == {"shop_id": "a code with 5 different values, about 80 rows each"}
    assert inferred.inputs == {"number": 5, "text": 1}
    assert [(split.strategy, split.column) for split in inferred.alternative_splits] == [
        ("group", "session"),
        ("group", "phone_id"),
        ("group", "shop_id"),
        ("time", "year"),
    ]


def test_texts_that_are_no_dates_take_little_time() -> None:
    texts = {f"note {number}": [f"may {row} of {number}" for row in range(N)] for number in range(150)}
    started = time.process_time()
    assert len(infer_columns(noise(), **texts).drop) == 150
    assert time.process_time() - started < 3


def test_dates_are_inputs_and_a_split_by_time_is_suggested() -> None:
    days = pd.Series(pd.date_range("2019-01-01", periods=N))
    inferred = infer_columns(
        noise(),
        text=days.dt.strftime("%Y-%m-%d").where(noise() < 1),
        german=days.dt.strftime("%d.%m.%Y"),
        stamp=days,
        zoned=days.dt.tz_localize("Europe/Berlin"),
        day=[date(2020, 1, 1 + i % 28) for i in range(N)],
        order_date=days.dt.strftime("%Y%m%d").astype(int),
        timestamp=days.dt.as_unit("s").astype("int64"),
        time_ms=days.dt.as_unit("ms").astype("int64") + 0.5,
        excel_date=np.arange(N) * 1.25 + 43000,
        some_date=np.arange(N) % 4 + 43000,
        duration=np.arange(N) * 1.25 + 43000,
        year=np.arange(N) % 50 + 1970,
    )
    assert {name: value for name, (value, _) in inferred.features["dates"].items()} == {
        "text": "iso",
        "german": "%d.%m.%Y",
        "stamp": "iso",
        "zoned": "iso",
        "day": "iso",
        "order_date": "%Y%m%d",
        "timestamp": "unix",
        "time_ms": "unix_ms",
        "excel_date": "excel",
    }
    assert not inferred.drop
    assert inferred.features_params.dates["german"] == "%d.%m.%Y"
    reasons = {split.column: split.reason for split in inferred.alternative_splits}
    assert "first remove the" in reasons["text"]
    assert reasons["stamp"].split(":")[0] == "to test on the latest rows"
    assert "ISO 8601" in reasons["german"]


def test_dates_that_may_be_read_differently_or_not_at_all_are_noted() -> None:
    days = pd.Series(pd.date_range("2019-01-01", periods=12).strftime("%d/%m/%Y").tolist() * 40)[:N]
    *_, note = infer_columns(noise(), when=days).notes
    assert note == "'when': read with the month first; if that is wrong, write %d/%m/%Y in features.dates"
    days = pd.Series(pd.date_range("2019-01-01", periods=N).strftime("%d/%m/%Y"))
    days[7] = "unknown"
    *_, note = infer_columns(noise(), when=days).notes
    assert note == "'when': 1 values are not dates in this format and count as missing, such as 'unknown'"


def test_columns_of_other_types_are_dropped() -> None:
    spans, lists = pd.to_timedelta(np.arange(N), unit="h"), [[i] for i in range(N)]
    inferred = infer_columns(noise(), period=spans, lists=lists, mixed=[date(2020, 1, 1), [1]] * (N // 2))
    assert inferred.drop == {
        "period": "contains Timedelta values, neither numbers nor text",
        "lists": "contains list values, neither numbers nor text",
        "mixed": "contains date values, neither numbers nor text",
    }


def test_ordered_categories_and_lists_are_recognized(rng: np.random.Generator) -> None:
    genres = [
        "|".join(sorted(rng.choice(["Action", "Comedy", "Drama", "War"], n, False))) for n in rng.integers(1, 4, N)
    ]
    inferred = infer_columns(
        noise(),
        size_class=rng.choice(["small", "Large", "MEDIUM"], N),
        color=rng.choice(["red", "green", "blue"], N),
        genres=genres,
        town=rng.choice([f"Town {i}, Land" for i in range(60)], N),
    )
    assert inferred.features["ordered"] == {
        "size_class": (["small", "MEDIUM", "Large"], "an evident order: 'small' < 'MEDIUM' < …")
    }
    assert inferred.features["lists"]["genres"][0] == "|"
    assert list(inferred.features["target_encoding"]) == ["town"]


def test_texts_with_few_values_are_inputs(rng: np.random.Generator) -> None:
    inferred = infer_columns(
        noise(),
        few=rng.choice(["oak", "pine", "elm"], N),
        many=[f"town {i % 200}" for i in range(N)],
        patient=[f"p{i % 100}" for i in range(N)],
        prose=[f"the quick brown fox number {i} jumps over it" for i in range(N)],
        income=[str(1000 + i) if i % 50 else "a lot" for i in range(N)],
        price=[f"${i + 1000:,}.50" for i in range(N)],
        children=rng.choice(["0", "1", "two", "3+"], N),
        version=rng.choice([f"{i}.2.{i}" for i in range(20)], N),
        empty=np.nan,
        rare=[1.0, 2.0, 3.0, *[np.nan] * (N - 3)],
        constant="x",
        sometimes=pd.Series("x", index=range(N)).where(rng.random(N) < 0.5),
    )
    assert inferred.drop == {
        "many": "text with 200 different values, about 2.0 rows each",
        "patient": "text with 100 different values, about 4.0 rows each",
        "income": "numbers except in 8 rows, such as 'a lot' in row 1",
        "price": "numbers with characters other than digits and a decimal point, such as '$1,000.50'",
        "empty": "no row has a value",
        "rare": "only 3 of 400 rows have a value",
        "constant": "the same in every row: 'x'",
    }
    assert inferred.inputs == {"number": 1, "text": 5}
    assert inferred.features == {"text": {"prose": (None, "free text with 400 different values")}}
    assert [split.column for split in inferred.alternative_splits] == ["patient"]
    assert [note.split(":")[0] for note in inferred.notes] == ["'income'", "'price'"]
    assert inferred.max_categories == 50


def test_texts_with_many_values_are_encoded_or_free_text(rng: np.random.Generator) -> None:
    words = np.array(["dark", "river", "night", "stranger", "golden", "summer", "empire", "silent", "letter", "road"])
    titles = [" ".join(words[rng.integers(0, len(words), 3)]).title() + "!" * (i // 50) for i in range(N)]
    inferred = infer_columns(
        noise(),
        title=titles,
        sku=[f"{words[i % 10].upper()} {i:05d}-{i % 97}" for i in range(N)],
        email=[f"{words[i % 10]}{i}@example.com" for i in range(N)],
        town=[f"town {i % 70}" for i in range(N)],
        customer=[f"c{i % 60}" for i in range(N)],
        user_id=[i % 55 for i in range(N)],
        token=[f"{i % 66:08x}-0000-4000-8000-{i % 66:012x}" for i in range(N)],
    )
    assert inferred.drop == dict.fromkeys(["sku", "email"], "an identifier, different in every row")
    assert inferred.features["text"] == {"title": (None, f"free text with {len(set(titles))} different values")}
    assert inferred.features["target_encoding"] == {
        "town": (None, "text with 70 different values, about 5.7 rows each"),
        "customer": (None, "text with 60 different values, about 6.7 rows each"),
        "user_id": (None, "an identifier with 55 different values, about 7.3 rows each"),
        "token": (None, "an identifier with 66 different values, about 6.1 rows each"),
    }
    assert list(inferred.categorical) == ["user_id"], "its numbers are read as text"
    assert inferred.max_categories == 50
    assert {"customer", "user_id", "token"} <= {split.column for split in inferred.alternative_splits}
    assert inferred.features_params.text == ["title"]


def test_a_table_of_texts_alone_is_accepted() -> None:
    table = pd.DataFrame({"note": [f"the quick brown fox number {i} jumps over it" for i in range(N)]})
    inferred = infer(table.assign(y=np.arange(N) / 2), "y", "data.csv")
    assert (inferred.inputs, list(inferred.features)) == ({"text": 1}, ["text"])


def test_many_categories_with_many_rows_each_raise_the_limit() -> None:
    n = 63 * 20
    size = np.random.default_rng(0).normal(size=n)
    table = pd.DataFrame({"size": size, "town": [f"town {i % 63}" for i in range(n)], "y": np.arange(n) % 37 / 2})
    inferred = infer(table, "y", "data.csv")
    assert not inferred.drop
    assert inferred.max_categories == 70

    more = pd.DataFrame({"town": [f"other {i}" for i in range(50)]})  # rows without a target count as well
    assert infer(pd.concat([table, more], ignore_index=True), "y", "data.csv").max_categories == 120


def test_codes_are_recognized_by_name_or_leading_zeros(rng: np.random.Generator) -> None:
    inferred = infer_columns(
        noise(),
        zip=[f"{number:05d}" for number in rng.choice([501, 10001, 94110], N)],
        serial=[f"{number:07d}" for number in rng.permutation(N)],
        Postcode=rng.integers(0, 300, N) * 7,
        area_code=rng.choice([212, 415, 650, 901], N),
        dress_class=rng.choice([1, 2, 3], N),
        has_type=rng.choice([0, 1], N),
        rooms=rng.choice([1, 2, 3, 7], N),
        active=rng.random(N) < 0.5,
        flag=pd.Series(rng.random(N) < 0.5, dtype=object).where(rng.random(N) < 0.9),
    )
    assert inferred.categorical == {
        "zip": inferred.categorical["zip"],
        "area_code": "a code by its name, with 4 different numbers",
        "dress_class": "a code by its name, with 3 different numbers",
    }
    assert inferred.categorical["zip"].startswith("a code with leading zeros, such as '00501'")
    assert inferred.drop == {"serial": "an identifier, different in every row"}
    assert inferred.inputs == {"number": 4, "text": 3, "boolean": 2}
    assert "different codes are treated as numbers" in inferred.notes[0]


def test_columns_that_leak_the_target_are_dropped_and_noted_first(rng: np.random.Generator) -> None:
    label = rng.choice(["no", "yes"], N)
    inferred = infer_columns(label, same=label, code=np.where(label == "no", 7, 3), other=rng.choice(["no", "yes"], N))
    assert list(inferred.drop) == ["same", "code"]
    assert (
        inferred.notes[0] == "'same' leaks the target and is dropped: it equals the target 'y' or recodes it one to one"
    )
    assert "'code' leaks the target" in inferred.notes[1]

    price = rng.normal(100, 10, N)
    close = price + rng.normal(0, 0.5, N)
    inferred = infer_columns(price, cents=100 * price, log=-np.log(price), close=close, year=np.arange(N))
    assert list(inferred.drop) == ["cents", "log"]
    rating = rng.integers(0, 100, N)
    assert list(infer_columns(rating, name=[f"r{i}" for i in rating], half=rating // 2).drop) == ["name"]


def test_small_classes_reduce_the_folds_or_prevent_stratification() -> None:
    def infer_counts(**rows: int) -> InferredSettings:
        labels = [label for label, count in rows.items() for _ in range(count)]
        size = np.random.default_rng(0).normal(size=len(labels))
        return infer(pd.DataFrame({"size": size, "y": labels}), "y", "data.csv")

    assert (infer_counts(a=100, b=100).strategy, infer_counts(a=100, b=100).cv_folds) == ("stratified", 5)
    assert (infer_counts(a=100, b=5).strategy, infer_counts(a=100, b=5).cv_folds) == ("stratified", 4)
    few = infer_counts(a=100, b=2)
    assert (few.strategy, few.cv_folds) == ("random", 2)
    assert "'b' is in only 2 of 102 rows" in few.notes[0]
    many = infer_counts(**{f"label {i}": 3 for i in range(30)}, other=5)
    assert (many.strategy, many.strategy_reason) == ("random", "there are more classes (31) than test rows (19)")

    tiny = infer(pd.DataFrame({"size": noise()[:10], "y": noise()[-10:]}), "y", "data.csv")
    assert (tiny.strategy, tiny.cv_folds) == ("random", 4)


def test_rare_classes_are_large_enough_in_the_sample_for_the_search() -> None:
    n = 400_000
    table = pd.DataFrame({"size": np.random.default_rng(0).normal(size=n), "y": "no"})
    table.loc[:29, "y"] = "yes"
    assert infer(table, "y", "data.csv").strategy == "random"
    table.loc[:2999, "y"] = "yes"
    assert infer(table, "y", "data.csv").strategy == "stratified"


def test_imbalanced_target_is_recognized() -> None:
    labels = np.where(np.arange(N) % 20 == 0, "fraud", "fine")
    assert infer_columns(labels).imbalance == "'fraud' is in 5 % of the rows"
    assert infer_columns(np.where(np.arange(N) % 4 == 0, "fraud", "fine")).imbalance == ""
    assert (
        infer_columns(np.where(np.arange(N) % 20 == 0, "a", np.where(np.arange(N) % 2 == 0, "b", "c"))).imbalance == ""
    )


def test_duplicates_and_rows_without_a_target_are_not_counted() -> None:
    table = pd.DataFrame({"size": noise(), "y": ["a", "b"] * (N // 2)})
    table.loc[:9, "y"] = np.nan
    inferred = infer(pd.concat([table, table.tail(50)], ignore_index=True), "y", "data.csv")
    assert (inferred.n_rows, inferred.n_duplicates) == (N - 10, 50)
    assert "rows: 50 equal an earlier row and are dropped" in describe(inferred)
    assert "rows: 1 equals an earlier row and is dropped" in describe(replace(inferred, n_duplicates=1))
    assert inferred.notes == []


def test_mostly_missing_target_is_noted() -> None:
    labels = pd.Series(["a", "b", None, None, None] * (N // 5))
    assert infer_columns(labels).notes[-1] == f"{N // 5 * 3} rows have no value in 'y' and are dropped"


def test_light_curves_are_recognized(rng: np.random.Generator) -> None:
    flux = {f"FLUX.{number}": rng.normal(size=N) for number in range(1, 31)}
    inferred = infer_columns([1, 2] * (N // 2), **flux)
    assert inferred.flux
    assert inferred.inputs == {"number": 31}
    few = dict(list(flux.items())[:5])
    assert not infer_columns([1, 2] * (N // 2), **few).flux


def test_infinite_numbers_are_noted() -> None:
    values = noise()
    values[6] = np.inf
    assert "'x': infinite as a 32-bit float in row 7" in infer_columns(noise()[::-1], x=values).notes[0]


def test_infinite_targets_are_noted_with_the_remedy() -> None:
    target = noise()
    target[[6, 8]] = np.inf, -np.inf
    (note,) = infer_columns(target).notes
    assert note.startswith("the target is inf in row 7 (2 such rows), which stage prepare rejects: correct such values")


@pytest.mark.parametrize("name", ["", "Unnamed: 0"])
def test_an_unnamed_column_that_counts_rows_is_dropped_with_a_note(rng: np.random.Generator, name: str) -> None:
    inferred = infer_columns(noise(), **{name: rng.permutation(10 * N)[:N]})
    assert inferred.drop == {name: "row numbers"}
    assert inferred.notes == [f"{name!r}: dropped, because it has no name and counts rows"]


def test_column_names_are_classified() -> None:
    ids = ["id", "ID", "customer_id", "customerID", "PassengerId", "id_customer", "userid", "kepid", "uuid", "Order ID"]
    assert all(map(is_identifier_name, ids))
    assert not any(map(is_identifier_name, ["paid", "humid", "idle", "grid", "covid", "width", "", "?"]))
    assert is_owner_name("customer")
    assert not is_owner_name("customers")
    assert is_row_number_name("Unnamed: 0")
    assert not is_row_number_name("body mass index")
    assert is_time_name("order_date")
    assert not is_time_name("update")
    assert is_code_name("dress_class")
    assert not is_code_name("first class tickets")
    assert is_postal_code_name("zip code")


def test_many_equal_rows_are_kept() -> None:
    few = pd.DataFrame({"class": [f"c{number % 3}" for number in range(N)], "sex": ["f", "m"] * (N // 2)})
    few["y"] = np.where(np.random.default_rng(0).random(N) < 0.3, "yes", "no")
    inferred = infer(few, "y", "data.csv")
    assert (inferred.n_rows, inferred.n_duplicates) == (N, 0)
    assert inferred.duplicates_reason.endswith("% of the rows equal an earlier row")
    copied = pd.DataFrame({"size": noise(), "y": ["a", "b"] * (N // 2)})
    inferred = infer(pd.concat([copied, copied.head(5)], ignore_index=True), "y", "data.csv")
    assert (inferred.n_rows, inferred.duplicates_reason) == (N, "")


def test_labels_with_leading_zeros_are_read_as_text() -> None:
    inferred = infer(pd.DataFrame({"size": noise(), "y": ["001", "002"] * (N // 2)}), "y", "data.csv")
    assert inferred.categorical == {"y": "labels with leading zeros, read as text"}
