"""A first script of somebody who knows scikit-learn and pandas. It reads comments.csv: id, comment, toxic (0 or 1)."""

import numpy as np
import pandas as pd
from sklearn.metrics import accuracy_score, classification_report, confusion_matrix, log_loss, roc_auc_score
from sklearn.model_selection import train_test_split

import gru_bench as gb

comments = pd.read_csv("comments.csv", index_col="id")
known, new = train_test_split(comments, test_size=0.2, stratify=comments["toxic"], random_state=0)
study = gb.run_study(known, text="comment", label="toxic", model=["bidirectional", "torch"], trials=2, epochs=2)

model = study.model
predicted = model.predict(new["comment"])
accuracy = accuracy_score(new["toxic"], predicted)
same_accuracy = model.score(new["comment"], new["toxic"])
print(classification_report(new["toxic"], predicted))
print(confusion_matrix(new["toxic"], predicted, labels=model.classes_))
toxic = model.predict_proba(new["comment"])[:, list(model.classes_).index(1)]
loss = log_loss(new["toxic"], model.predict_proba(new["comment"].tolist()), labels=model.classes_)
print(f"accuracy {accuracy:.3f}, loss {loss:.3f}, area {roc_auc_score(new['toxic'], toxic):.3f}")
new = new.assign(predicted=predicted, error=(new["toxic"] - toxic).abs())
reason = model.explain(new.sort_values("error")["comment"].iloc[-1])

best = study.best_params
trials = study.trials.sort_values("value", ascending=False)
accuracies = study.runs.groupby("model")["score/test_accuracy"].mean()
scores = study.scores().set_index("model")
tested = study.predictions()
tested_accuracy = {seed: accuracy_score(run["label"], run["predicted"]) for seed, run in tested.groupby("seed")}
texts = tested.merge(known, left_on="row", right_index=True)
for kind in ["accuracy", "curves", "confusion", "search", "differences"]:
    study.plot(kind).savefig(f"{kind}.png")
verdict = study.verdict()
pairs = verdict.to_frame()
study.save_model("model")
again = gb.load_model("model").predict(np.array(new["comment"]))
against = gb.compare({"gru": predicted, "never toxic": np.zeros(len(new), dtype=int)}, truth=new["toxic"])
print(verdict, against)
