"""`accelerate launch -m adaptsign_hf.training`: the training script of an installed package."""

from adaptsign_hf.training.run import main

if __name__ == "__main__":
    main()
