"""Where budgets are kept. Each backend is a module that is imported only when it is named."""
