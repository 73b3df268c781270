//! Opens an artifact and runs it; knows nothing of the IR and holds no LLVM.
