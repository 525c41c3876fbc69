"""Scikit-learn's classifiers on three installed data sets, compared, and set as a page of a paper.

    python benchmarks/data_sets.py FOLDER            two minutes, with TeX: FOLDER/paper.pdf
    python benchmarks/data_sets.py FOLDER --quick    100 reviews and 2 seeds, a few seconds

The data sets are the digits and the breast cancers of scikit-learn, half of them for the test, and the movie reviews of
gru-bench, with films as groups. Each classifier is trained with 5 seeds, on at most 4,000 reviews. FOLDER gets
predictions.csv, the report of `gru-bench compare`, and paper.pdf, whose table, figure and paragraph are files of the
report.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import SGDClassifier
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler

MODELS: dict[str, Callable[[int], Any]] = {
    "logistic": lambda seed: SGDClassifier(loss="log_loss", random_state=seed),
    "SVM": lambda seed: SGDClassifier(loss="hinge", random_state=seed),
    "forest": lambda seed: RandomForestClassifier(100, random_state=seed)}
REVIEWS, SEEDS = 4000, 5
PAGE = r"""\documentclass[11pt]{article}
\usepackage[T1]{fontenc}
\usepackage[margin=2.5cm]{geometry}
\usepackage{textcomp,amsmath,array,booktabs,longtable,xcolor,graphicx,caption}
\input{report/numbers}
\begin{document}
\section*{Results}
\input{report/paper}

\input{report/tables/data-sets}
\input{report/tables/verdicts}
\begin{figure}[h]\centering\includegraphics{report/figures/differences}
\caption{Differences on each data set and over them, with 95\,\% intervals.}\end{figure}
\bibliographystyle{plain}
\bibliography{report/paper}
\end{document}
"""


def data_sets(folder: Path, reviews: int) -> Iterator[tuple[str, pd.DataFrame, object, object, object]]:
    """Yield the name of each data set, its test examples, the features of both parts, and the training labels."""
    for name, found in (("digits", load_digits()), ("cancer", load_breast_cancer())):
        train_x, test_x, train_y, test_y = train_test_split(
            found.data, found.target_names[found.target].astype(str), test_size=0.5, random_state=0)
        yield name, pd.DataFrame({"id": np.arange(len(test_y)), "label": test_y}), train_x, test_x, train_y
    command(folder, "-m", "gru_bench", "data", "--out", "parts")
    read = [pd.read_csv(folder / "parts" / f"{part}.csv") for part in ("train", "test")]
    train, test = (one.sample(min(len(one), reviews), random_state=0) for one in read)
    words = TfidfVectorizer(min_df=3).fit(train.text)
    yield ("reviews", test.drop(columns="text"), words.transform(train.text), words.transform(test.text),
           train.label.to_numpy())


def command(folder: Path, *words: str, program: str = sys.executable) -> None:
    """Run a program in a folder."""
    subprocess.run([program, *words], cwd=folder, check=True, stdout=subprocess.DEVNULL)


def main() -> None:
    """Write the predictions, the report and the page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--quick", action="store_true", help="100 reviews and 2 seeds, without the page")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    found = [
        test.assign(dataset=name, model=model, seed=seed, prediction=make_pipeline(
            MaxAbsScaler(), made(seed)).fit(train_x, train_y).predict(test_x))
        for name, test, train_x, test_x, train_y in data_sets(options.folder, 100 if options.quick else REVIEWS)
        for model, made in MODELS.items() for seed in range(2 if options.quick else SEEDS)]
    pd.concat(found).to_csv(options.folder / "predictions.csv", index=False)
    command(options.folder, "-m", "gru_bench", "compare", "predictions.csv", "--out", "report")
    if options.quick:
        return
    (options.folder / "paper.tex").write_text(PAGE, encoding="utf-8")
    for program in ("pdflatex", "bibtex", "pdflatex", "pdflatex"):
        command(options.folder, "paper", program=program)
    print(options.folder / "paper.pdf")


if __name__ == "__main__":
    main()
