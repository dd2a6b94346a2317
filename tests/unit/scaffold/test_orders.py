"""Orders inferred from categories, and lists of words."""

import numpy as np
import pandas as pd
import pytest

from pipeline.scaffold.orders import evident_order
from pipeline.scaffold.word_lists import list_separator


@pytest.mark.parametrize(
    "order",
    [
        ["Fair", "Good", "Very Good", "Premium", "Ideal"],
        ["I1", "SI2", "SI1", "VS2", "VS1", "VVS2", "VVS1", "IF"],
        list("DEFGHIJ"),
        ["Mon", "Tues", "Wed", "Thurs", "Fri"],
        ["May", "June", "July"],
        ["high school", "Bachelor's degree", "PhD"],
        ["strongly_disagree", "disagree", "neutral", "agree", "strongly_agree"],
        ["I", "II", "III", "IV"],
        ["C", "B-", "B", "A+"],
        ["<18", "18-25", "26-64", "65+"],
        ["< 1 year", "1-10 years", "10+ years"],
        ["$0-$50k", "$50k-$100k", "$100k+"],
        ["0", "1", "2-10", "11-100", "Over 100"],
        ["[0, 10)", "[10, 20)", "[20, 30)"],
        ["1,000 - 9,999", "10,000 to 49,999", "50,000 and over"],
    ],
)
def test_an_evident_order_is_found(order: list[str]) -> None:
    shuffled = np.random.default_rng(0).permutation(order)
    assert evident_order(pd.Series([*shuffled, *order])) == order


@pytest.mark.parametrize(
    "texts",
    [
        ["low", "high"],
        ["low", "high", "red"],
        ["1-0", "2-1", "0-0"],
        ["1-5", "3-7", "8-9"],
        ["Region 1", "Region 2", "Region 3"],
        ["1", "2", "3"],
        ["5 days", "1-2 weeks", "3+ months"],
        ["Tue", "Tues", "Wed"],
        ["A", "C", "X"],
        ["", "-", "+"],
        ["#", "#-#", "k"],
        ["²", "½", "3+"],
    ],
)
def test_other_texts_have_no_evident_order(texts: list[str]) -> None:
    assert evident_order(pd.Series(texts)) is None


def test_lists_repeat_their_words_and_differ_in_length() -> None:
    rng = np.random.default_rng(0)
    words = ["Action", "Comedy", "Drama", "Science Fiction", "War"]
    lists = [sorted(rng.choice(words, n, replace=False)) for n in rng.integers(1, 5, 400)]
    for separator in "|;,":
        assert list_separator(pd.Series([separator.join(found) for found in lists])) == separator
    assert list_separator(pd.Series([", ".join(found) for found in lists])) == ","
    pairs = rng.integers(0, 9, (400, 2))
    assert list_separator(pd.Series([f"Town {town}, Country {country}" for town, country in pairs])) is None
    assert list_separator(pd.Series([f"{number},{number + 1},7" for number in range(400)])) is None
    assert list_separator(pd.Series([f"bird {number}, no damage, seen" for number in range(400)])) is None
    assert list_separator(pd.Series(["red", "green"] * 200)) is None
