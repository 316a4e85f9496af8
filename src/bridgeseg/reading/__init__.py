"""What is to be predicted: names -> images and frames, read ahead in threads. No network here, and no PyTorch."""
