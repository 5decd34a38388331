"""The native engine on a GPU: gather, multiply and add in one Triton kernel; normalisation, ReLU and sum around it."""
