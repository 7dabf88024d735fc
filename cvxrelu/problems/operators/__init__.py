"""The operator A u = sum_i D_i X u_i of the convex programs and its kernels."""
