"""Train AdaptSign on a folder of videos.

    accelerate launch train.py --config configs/quickstart.yaml
    accelerate launch train.py --config configs/own_videos.yaml --data_dir my_videos --output_dir runs/mine
    accelerate launch train.py --help

The folder holds videos beside a metadata.csv with the columns file_name,gloss[,signer,split]. Any field of a recipe
can be given as a flag. `accelerate config` sets up several GPUs or machines.
"""

from adaptsign_hf.training.run import main

if __name__ == "__main__":
    main()
