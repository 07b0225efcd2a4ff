# Promise: a pseudonym is what HMAC-SHA-256 gives, as openssl computes it: for 1,000 random values of each kind and three keys.
use strict;
use warnings;

use DicomTest;
use Math::BigInt;
use Test::More;

my $count = 1000;
my $seed  = $ENV{DICOM_TEST_SEED} || 20260101;
srand $seed;

my $dir  = work_dir();
my @keys = map {
	join '', map { sprintf '%02x', int rand 256 }
		1 .. 32
} 1 .. 3;
write_text("$dir/keys", join '', map { "$_ $keys[$_ - 1]\n" } 1 .. 3);
chmod 0600, "$dir/keys" or die "$!\n";
my $cluster = cluster(conf => "dicom_fdw.key_file = '$dir/keys'\n");
$cluster->query('CREATE EXTENSION dicom_fdw');

# --- Random values, as bytes of UTF-8

my @alphabets = ([ 32 .. 126 ], [ 48 .. 57, 46 ], [ 0xC0 .. 0x17F ], [ 0x410 .. 0x44F, 32 ], [ 0x4E00 .. 0x4EFF ], [ 0x1F600 .. 0x1F640 ], [ 9, 10, 13, 32, 39, 92, 94 ]);

sub random_value
{
	my $length   = int(rand 10) == 0 ? int rand 3000 : int rand 70;
	my $alphabet = $alphabets[ rand @alphabets ];
	my $value    = join '', map { chr $alphabet->[ rand @$alphabet ] } 1 .. $length;

	utf8::encode($value);
	return $value;
}

sub random_part { return int(rand 6) == 0 ? undef : random_value(); }

sub frame
{
	my ($value) = @_;

	return 'N' unless defined $value;
	return 'V' . pack('N', length $value) . $value;
}

# What is hashed is without the blanks behind it.
sub unpadded
{
	my ($value) = @_;

	$value =~ s/ +\z// if defined $value;
	return $value;
}

sub message { return join '', map { frame($_) } 'dicom_fdw.deid.v1', @_; }

# HMACs of many messages under one key: openssl reads a file each.
sub hmacs
{
	my ($key, @messages) = @_;
	my $in = work_dir();
	my $number = 0;

	write_text(sprintf('%s/%06d', $in, $number++), $_) for @messages;
	my ($out, $err, $code) = run_command('openssl', 'dgst', '-sha256', '-mac', 'HMAC', '-macopt', "hexkey:$key", glob "$in/*");
	die "openssl: $err\n" if $code != 0;
	return map { /= ([0-9a-f]{64})$/ ? $1 : die "openssl: $_\n" } split /\n/, $out;
}

# --- What becomes of an HMAC

sub base32
{
	my ($bytes) = @_;
	my @letters = ('A' .. 'Z', 2 .. 7);

	return join '', map { $letters[ oct "0b$_" ] } unpack('B*', $bytes) =~ /.{5}/g;
}

sub short_id { my ($hash) = @_; return 'DEID-' . base32(pack 'H20', $hash); }

sub uid
{
	my ($hash) = @_;
	my @bytes = unpack 'C16', pack 'H32', $hash;

	$bytes[6] = $bytes[6] & 0x0f | 0x80;
	$bytes[8] = $bytes[8] & 0x3f | 0x80;
	return '2.25.' . Math::BigInt->from_hex('0x' . unpack 'H*', pack 'C16', @bytes)->bstr;
}

sub shift_days
{
	my ($hash) = @_;

	return -7 * (53 + Math::BigInt->from_hex('0x' . substr $hash, 0, 16)->bmod(469)->numify);
}

# Runs an expression over rows of parameters (arrays of texts).
sub compute
{
	my ($expression, @rows) = @_;
	my $file = write_text("$dir/rows", join '', map {
		join("\t", map { defined $_ ? 'x' . unpack 'H*', $_ : '\N' } @$_) . "\n"
	} @rows);
	my $columns = @{ $rows[0] };
	my $list    = join ', ', map { "p$_ text" } 1 .. $columns;
	my $decode  = join ', ', map { "convert_from(decode(substr(p$_, 2), 'hex'), 'UTF8') AS p$_" } 1 .. $columns;

	return split /\n/, $cluster->query(<<"END");
CREATE TEMPORARY TABLE given (i integer GENERATED ALWAYS AS IDENTITY, $list);
\\copy given (@{[join ', ', map { "p$_" } 1 .. $columns]}) FROM '$file'
SELECT coalesce(($expression)::text, 'NULL') FROM (SELECT i, $decode FROM given) g ORDER BY i;
END
}

sub compare
{
	my ($what, $expression, $make_row, $message, $result) = @_;

	for my $epoch (1 .. 3)
	{
		my @rows     = map { [ $make_row->() ] } 1 .. $count;
		my @hashes   = hmacs($keys[ $epoch - 1 ], map { $message->(@$_) } @rows);
		my @expected = map { $result->($hashes[$_], @{ $rows[$_] }) } 0 .. $#rows;
		my @got      = compute($expression =~ s/\$epoch/$epoch/gr, @rows);
		my @wrong    = grep { ($got[$_] // '') ne $expected[$_] } 0 .. $#rows;

		is(@got, $count, "$what, key $epoch: all are there");
		is("@wrong", '', "$what, key $epoch: as openssl computes (seed $seed)");
		is(scalar(grep { $_ ne 'NULL' } @got) > $count / 2, 1, "$what, key $epoch: most are values");
	}
	return;
}

my @domains = ('patient_id', 'accession_number', 'd', 'größe');
utf8::encode($domains[3]) if utf8::is_utf8($domains[3]);

compare('full_hash', 'dicom.full_hash(p1, p2, $epoch)', sub { (random_value(), $domains[ rand @domains ]) },
	sub { message('full_hash', $_[1], unpadded($_[0])) }, sub { unpadded($_[1]) eq '' ? 'NULL' : $_[0] });
compare('full_hash with null_policy marker', q[dicom.anonymize(p1, 'full_hash', jsonb_build_object('domain', 'd', 'null_policy', 'marker', 'epoch', $epoch))],
	sub { (random_part()) }, sub { message('full_hash', 'd', unpadded($_[0])) }, sub { $_[0] });
compare('short_id', 'dicom.short_id(p1, p2, $epoch)', sub { (random_value(), $domains[ rand @domains ]) },
	sub { message('full_hash', $_[1], unpadded($_[0])) }, sub { unpadded($_[1]) eq '' ? 'NULL' : short_id($_[0]) });
compare('surrogate_key', q[dicom.surrogate_key('demo', ARRAY[p1, p2, p3], $epoch)], sub { map { random_part() } 1 .. 3 },
	sub { message('surrogate_key', 'demo', map { unpadded($_) } @_) }, sub { my ($hash, @parts) = @_; grep({ defined } @parts) ? $hash : 'NULL' });
compare('uid_remap', 'dicom.uid_remap(p1, $epoch)', sub { join '.', 1, 2, map { int rand 100000 } 1 .. 2 + rand 6 },
	sub { message('uid', $_[0]) }, sub { uid($_[0]) });
compare('date_shift', q[dicom.date_shift(date '2020-02-29', p1, p2, $epoch) - date '2020-02-29'], sub { (random_value() . 'x', random_part()) },
	sub { my $issuer = unpadded($_[1]); message('date_shift', defined $issuer && $issuer eq '' ? undef : $issuer, $_[0]) }, sub { shift_days($_[0]) });
is($cluster->query('SELECT string_agg(key_id, \' \' ORDER BY epoch) FROM dicom.key_status()'),
	join(' ', map { substr((hmacs($_, message('key_id')))[0], 0, 16) } @keys), 'the ids of the keys too');
done_testing();
