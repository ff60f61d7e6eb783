// expect: never
int main() {}
