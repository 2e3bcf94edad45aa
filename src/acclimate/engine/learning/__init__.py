"""What every update needs: steps of optimisers, penalties, targets, replay."""
