# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings of trainings that last a second or two."""

TRAINING = {
    "seed": 2,
    "epochs": 2,
    "batch": 20,
    "learning_rate": 5e-3,
    "weight_decay": 0.02,
    "average_decay": 0.9,
    "bfloat16": False,
    "distillation": 0.7,
    "rate_beta": 2e-4,
    "report_error_db": 1.0,
    "channels": {"awgn": 0.75, "selective": 0.25},
}
TEACHER_TRAINING = {
    "seed": 1,
    "epochs": 2,
    "batch": 20,
    "learning_rate": 0.05,
    "weight_decay": 5e-4,
    "average_decay": 0.9,
    "bfloat16": False,
    "model": {"widths": [4, 8, 8]},
}
MODEL = {"widths": [4, 8, 8], "phi_hidden": 16, "decoder_hidden": [16, 16]}
EXPERIMENT = {
    "name": "small",
    "data": {"train": "synthetic:400", "validation": "synthetic:100", "test": "synthetic:200"},
    "teacher": {"training": TEACHER_TRAINING},
    "store": {"views": 2, "kept": 3, "seed": 3, "bfloat16": False, "augmentation": {"erase": 0.2}},
    "student": {
        "budgets": [4, 8],
        "snr_range_db": [-6.0, 24.0],
        "margin": 0.01,
        "model": MODEL,
        "training": TRAINING,
    },
}
