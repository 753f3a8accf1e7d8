"""How fast the kernels are here, beside what people use for the same work, and beside the limit.

`cases` says what is measured, once: for `fastmatte bench`, for README's table, for bench/.
`measure` takes the times, `table` and `chart` show them.
"""
