# Sourced by the compiler scripts: writes large.cpp, a generated file of templates over the standard library.
{
  printf '#include <%s>\n' algorithm functional map regex string tuple unordered_map variant vector
  for ((i = 0; i < 24; i++)); do
    cat <<SOURCE
struct Key$i { int a; std::string b; bool operator<(Key$i const& o) const { return std::tie(a, b) < std::tie(o.a, o.b); } };
using Value$i = std::variant<int, std::string, std::vector<Key$i>>;
std::size_t fill$i(std::map<Key$i, Value$i>& map, int n) {
  std::unordered_map<std::string, std::function<int(int)>> calls;
  for (int j = 0; j < n; ++j) {
    map[Key$i{j * $i, std::to_string(j)}] = std::vector<Key$i>(static_cast<std::size_t>(j % 5));
    calls[std::to_string(j)] = [j](int x) { return x * j + $i; };
  }
  std::size_t sum = calls.size();
  for (auto const& [key, value] : map) sum += value.index() + key.b.size();
  return sum;
}
SOURCE
  done
} >large.cpp
