"""Recognize categories with an evident order: known scales, and ranges of numbers."""

import re
from itertools import pairwise

import pandas as pd

MIN_CATEGORIES = 3
MAX_CATEGORIES = 30
# Scales from the lowest to the highest; words between bars have the same meaning.
SCALES = (
    "very low, low|lo, medium|med|moderate|mid|middle|average|normal, high|hi, very high",
    "lowest, lower, middle|medium, higher, highest",
    "xxs, xs|extra small, s|small, m|medium, l|large, xl|extra large, xxl|2xl, xxxl|3xl",
    "tiny, small, medium, large, huge|giant",
    "very poor|terrible, poor|bad, fair|acceptable, average|typical, good, very good, excellent|outstanding",
    "fair, good, very good, premium, ideal",
    "never, rarely|seldom, occasionally, sometimes, often|frequently, usually, always",
    "strongly disagree, disagree, neutral|undecided|neither agree nor disagree, agree, strongly agree",
    "very dissatisfied, dissatisfied, neutral, satisfied, very satisfied",
    "very unlikely, unlikely, neutral, likely, very likely",
    "none|no|absent, minimal|slight, mild|light, moderate, severe, critical|extreme|very severe",
    "negligible, minor, moderate, major|serious, critical, fatal",
    "trivial, low, normal, high, urgent, critical|blocker",
    "bronze, silver, gold, platinum, diamond",
    "beginner|novice, intermediate, advanced, expert",
    "entry|entry level, junior, mid|mid level, senior, lead, executive",
    "daily, weekly, biweekly, monthly, quarterly, yearly|annually|annual",
    "monday|mon, tuesday|tue|tues, wednesday|wed, thursday|thu|thur|thurs, friday|fri, saturday|sat, sunday|sun",
    "january|jan, february|feb, march|mar, april|apr, may, june|jun, july|jul, august|aug, september|sep|sept, "
    "october|oct, november|nov, december|dec",
    "winter, spring, summer, autumn|fall",
    "night, morning, noon|midday, afternoon, evening",
    "q1, q2, q3, q4",
    "first, second, third, fourth, fifth, sixth, seventh, eighth, ninth, tenth",
    "1st, 2nd, 3rd, 4th, 5th, 6th, 7th, 8th, 9th, 10th",
    "i, ii, iii, iv, v, vi, vii, viii, ix, x",
    "preschool|kindergarten, primary|primary school|elementary, middle school, secondary|high school, "
    "some college, associate|associates|associate degree, bachelor|bachelors|bachelor degree|graduate, "
    "master|masters|master degree, doctorate|doctoral|phd",
    "f, e, d-, d, d+, c-, c, c+, b-, b, b+, a-, a, a+",
    # Standards: the ratings of Standard & Poor's and of Moody's, and the GIA's grades of diamonds' clarity.
    "d, c, cc, ccc-, ccc, ccc+, b-, b, b+, bb-, bb, bb+, bbb-, bbb, bbb+, a-, a, a+, aa-, aa, aa+, aaa",
    "c, ca, caa3, caa2, caa1, caa, b3, b2, b1, ba3, ba2, ba1, ba, baa3, baa2, baa1, baa, a3, a2, a1, aa3, aa2, aa1, "
    "aa, aaa",
    "i3, i2, i1, si2, si1, vs2, vs1, vvs2, vvs1, if, fl",
)
_RANKS = [{word: rank for rank, words in enumerate(scale.split(", ")) for word in words.split("|")} for scale in SCALES]
_NUMBER = re.compile(r"(\d+(?:\.\d+)?)\s*([km](?![a-z]))?")
# The shapes of texts, where # is a number: 1-10 years, under 18, 65+, 10 or more, 7.
_RANGE = re.compile(r"#[a-z]* ?(?:-|–|to|and|,)#(?P<unit>[a-z]*)")
_BELOW = re.compile(r"(?:<=?|≤|under|below|less than|up to|at most)#(?P<unit>[a-z]*)")
_ABOVE = re.compile(
    r"(?:>=?|≥|over|above|more than|at least)#(?P<unit>[a-z]*)"
    r"|#[a-z]* ?(?:\+|plus|(?:or|and) (?:more|over|above|older)) ?[a-z]*"
)
_SINGLE = re.compile(r"#(?P<unit>[a-z]*)")
_SCALE = {"": 1.0, "k": 1e3, "m": 1e6}


def evident_order(texts: pd.Series) -> list[str] | None:
    """Return the different texts from the lowest to the highest, or None if their order is not evident.

    Examples
    --------
    >>> evident_order(pd.Series(["Very Good", "Fair", "Good"]))
    ['Fair', 'Good', 'Very Good']
    >>> evident_order(pd.Series(["10+ years", "2-9 years", "< 2 years"]))
    ['< 2 years', '2-9 years', '10+ years']
    """
    different = [str(text) for text in texts.unique()]
    if not MIN_CATEGORIES <= len(different) <= MAX_CATEGORIES:
        return None
    letters = sorted(different)
    if all(re.fullmatch("[A-Za-z]", text) for text in letters) and ord(letters[-1]) - ord(letters[0]) < len(letters):
        return letters  # of the alphabet, one after the other
    plain = [_plain(text) for text in different]
    for ranks in _RANKS:
        if all(text in ranks for text in plain):
            return _sorted(different, [(ranks[text], 0) for text in plain])
    return _order_of_ranges(different)


def _plain(text: str) -> str:
    words = re.sub(r"[_-]+(?=\w)", " ", text.lower()).replace("'", "").removesuffix(" degree")
    return " ".join(words.split())


def _sorted(texts: list[str], ranks: list[tuple[float, float]]) -> list[str] | None:
    """Return texts in the order of their ranks; None if two have the same rank."""
    return [text for _, text in sorted(zip(ranks, texts, strict=True))] if len(set(ranks)) == len(ranks) else None


def _order_of_ranges(texts: list[str]) -> list[str] | None:
    """Return ranges in the order of their numbers.

    None if a text is not a range or number, they overlap or have different units, or all are single numbers.
    """
    found = [limits for limits in map(_range_of, texts) if limits]
    if len(found) < len(texts) or len({unit for _, _, unit in found} - {""}) > 1:
        return None
    limits = [(low, high) for low, high, _ in found]
    ordered = sorted(limits)
    overlap = any(previous[1] > following[0] for previous, following in pairwise(ordered))
    if overlap or any(low > high for low, high in limits) or all(low == high for low, high in limits):
        return None
    return _sorted(texts, limits)


def _range_of(text: str) -> tuple[float, float, str] | None:
    """Return the lower and upper limit and the unit of a text such as ``1-10 years``."""
    text = re.sub(r"#|,(?=\d{3}\b)", "", text.lower())
    numbers = [float(digits) * _SCALE[scale] for digits, scale in _NUMBER.findall(text)]
    shape = re.sub(r"\s*#\s*", "#", re.sub(r"[$€£%()[\].]", "", _NUMBER.sub("#", text))).strip()
    if match := _RANGE.fullmatch(shape):
        low, high = numbers
    elif match := _BELOW.fullmatch(shape):
        low, high = float("-inf"), numbers[0]
    elif match := _ABOVE.fullmatch(shape):
        low, high = numbers[0], float("inf")
    elif match := _SINGLE.fullmatch(shape):
        low, high = numbers[0], numbers[0]
    else:
        return None
    return low, high, (match["unit"] or "").rstrip("s")
