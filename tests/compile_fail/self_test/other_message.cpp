// expect: never
static_assert(!WRONG, "another message");
