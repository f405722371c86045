"""Built-in learners, one file each; a project names them as `class = "overnight.training.trainers.ranker:Ranker"`.

They need the extra `ml`. Records are sorted by id before anything is learnt and chance comes from the seed alone, so
that the same records and seed give the same agent. Nothing is pickled: estimators are saved by skops, the rest is JSON.
"""
