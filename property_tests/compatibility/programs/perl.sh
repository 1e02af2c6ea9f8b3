# Hashes of hashes, regular expressions, sorting and string building.
cat >workload.pl <<'WORKLOAD'
use strict; use warnings; use Digest::SHA;
my (%table, @log);
my $state = 42;
for my $i (1 .. 150000) {
  $state = ($state * 1103515245 + 12345) & 0x7fffffff;
  my $key = "k" . ($state % 6007);
  $table{$key}{count}++;
  push @{$table{$key}{values}}, $i;
  splice(@{$table{$key}{values}}, 0, 8) if @{$table{$key}{values}} > 16;
  delete $table{"k" . ($state % 101)} if $i % 977 == 0;
}
for my $key (sort keys %table) {
  (my $line = "$key:" . join(",", @{$table{$key}{values}})) =~ s/(\d{3})(?=\d)/<$1>/g;
  push @log, $line;
}
print scalar(@log), " ", Digest::SHA::sha256_hex(join("\n", @log)), "\n";
WORKLOAD
export PERL_HASH_SEED=0
under_test /usr/bin/perl workload.pl
