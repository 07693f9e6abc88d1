"""`python -m adaptsign_hf.cli`."""

from adaptsign_hf.cli.application import main

if __name__ == "__main__":
    main()
