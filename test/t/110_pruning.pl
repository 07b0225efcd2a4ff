# Promise: a query lists and opens what its conditions leave, and nothing else; and it finds the same rows as without pruning.
# 3,000 keys below one prefix, 75 on each of 40 days; what was asked is read from the access log.
use strict;
use warnings;

use DicomTest;
use Test::More;

my $s3 = s3_server() or plan skip_all => 'no radosgw here';
my $dir = work_dir();
make_files('--count', 3000, '--size', 0, '--days', 40, '--series-per-study', 3, '--layout', 'days', $dir);
put_directory($s3, 'pruning', $dir);

my $proxy   = fault_proxy($s3);
my $cluster = cluster();
$cluster->make_server('scans', $proxy->server, 's3://pruning/');
$cluster->query(<<'END');
CREATE FOREIGN TABLE images_by_day (
	sop_instance_uid text, series_instance_uid text, study_date date, filename text COLLATE "C"
) SERVER scans OPTIONS (entity 'images', key_format 'inbox/{study_date:%Y/%m/%d}/');
CREATE TABLE everything AS TABLE scans.images;
CREATE TABLE days AS SELECT study_date, count(*) AS images FROM everything GROUP BY study_date;
END
is($cluster->query('SELECT count(*), count(DISTINCT study_date) FROM everything'), '3000|40', 'without conditions, all of them');

my ($day) = $cluster->query('SELECT min(study_date) + 20 FROM everything');
my ($other_day) = $cluster->query('SELECT max(study_date) FROM everything');
my $folder = join '/', 'inbox', split /-/, $day;
my ($key) = $cluster->query("SELECT min(filename) FROM everything WHERE study_date = '$day'");
my ($other_key) = $cluster->query("SELECT max(filename) FROM everything WHERE study_date = '$other_day'");

# Runs a query through the proxy and compares what it asked for. lists: at most so many; gets: exactly so many, unless a range [least, most].
sub asks
{
	my ($promise, $query, $result, %limits) = @_;

	$proxy->forget;
	is($cluster->query($query), $result, "$promise: the right rows");
	my $lists = grep { $_->{is_list} } $proxy->requests;
	my $gets  = grep { $_->{is_read} } $proxy->requests;
	ok($lists <= $limits{lists}, "$promise: $lists listings, at most $limits{lists} needed");
	is($gets, $limits{gets}, "$promise: files opened") if defined $limits{gets};
	return;
}

# The same condition over the copy, as the answer to expect.
sub finds
{
	my ($promise, $table, $where, %limits) = @_;
	my $columns = 'count(*), md5(string_agg(sop_instance_uid, \',\' ORDER BY filename))';

	asks($promise, "SELECT $columns FROM $table WHERE $where",
		$cluster->query("SELECT $columns FROM everything WHERE $where"), %limits);
	return;
}

# Listing alone
asks('counting files needs the listing only', 'SELECT count(*) FROM scans.files', 3000, lists => 4, gets => 0);
asks('sizes and times need the listing only',
	"SELECT count(*) FROM scans.files WHERE size > 0 AND last_modified > '2000-01-01' AND storage_class = 'STANDARD' AND etag <> ''",
	3000, lists => 4, gets => 0);

# By key
finds('a key opens one file', 'scans.images', "filename = '$key'", lists => 1, gets => 1);
finds('two keys open two files', 'scans.images', "filename IN ('$key', '$other_key')", lists => 2, gets => 2);
finds('a key that is not there', 'scans.images', "filename = 'inbox/nothing.dcm'", lists => 1);
finds('a prefix by LIKE', 'scans.images', "filename LIKE '$folder/%'", lists => 1, gets => 75);
finds('a prefix by starts_with()', 'scans.images', "starts_with(filename, '$folder/')", lists => 1, gets => 75);
finds('a prefix by ^@', 'scans.images', "filename ^@ '$folder/'", lists => 1, gets => 75);
finds('a range of keys', 'scans.images', "filename >= '$folder/' AND filename < '${folder}0'", lists => 1, gets => 75);
finds('keys behind another', 'scans.images', "filename > '$other_key'", lists => 1, gets => 0);
finds('LIKE with an underscore and an escape', 'scans.images', "filename LIKE 'inbox/2021/08/0\\4/0000__.dcm'", lists => 2);
asks('a prefix of the function', "SELECT count(*) FROM dicom.images('scans', '$folder/')", 75, lists => 1, gets => 75);

# By the attributes that key_format builds keys from
finds('one day', 'images_by_day', "study_date = '$day'", lists => 1, gets => 75);
finds('two days', 'images_by_day', "study_date IN ('$day', '$other_day')", lists => 2, gets => 150);
finds('a range of days', 'images_by_day', "study_date BETWEEN '$day' AND date '$day' + 2", lists => 5, gets => 225);
finds('days from one on', 'images_by_day', "study_date >= date '$other_day' - 1", lists => 5, gets => 150);
finds('a day that is not there', 'images_by_day', "study_date = '1999-01-01'", lists => 1, gets => 0);
finds('no day at all', 'images_by_day', "study_date = NULL", lists => 0, gets => 0);
finds('conditions that exclude each other', 'images_by_day', "study_date = '$day' AND study_date = '$other_day'", lists => 1, gets => 0);
finds('a day and a key', 'images_by_day', "study_date = '$day' AND filename = '$key'", lists => 1, gets => 1);
finds('what cannot be proven is read', 'images_by_day', "study_date = '$day' OR sop_instance_uid LIKE '%.24.1.1'", lists => 4, gets => 3000);

# A parameter prunes as a constant does
asks('a parameter of a generic plan', <<"END", 75, lists => 1, gets => 75);
SET plan_cache_mode = force_generic_plan;
PREPARE q(date) AS SELECT count(*) FROM images_by_day WHERE study_date = \$1;
EXECUTE q('$day');
END
asks('a value from a join', <<"END", '75', lists => 2, gets => 75);
SET enable_hashjoin = off; SET enable_mergejoin = off; SET enable_material = off;
SELECT count(*) FROM (VALUES (date '$day')) v(d) CROSS JOIN LATERAL (SELECT * FROM images_by_day i WHERE i.study_date = v.d OFFSET 0) s;
END

# EXPLAIN tells
my $plan = $cluster->query("EXPLAIN (ANALYZE, COSTS off, TIMING off, SUMMARY off) SELECT * FROM images_by_day WHERE study_date = '$day'");
like($plan, qr/listed: 75\b/i, 'EXPLAIN ANALYZE shows the objects listed');
like($plan, qr/opened: 75\b/i, 'and opened');
like($plan, qr/\Q$folder\E/, 'and the prefix');
$plan = $cluster->query("EXPLAIN (COSTS off) SELECT * FROM images_by_day WHERE study_date = '$day'");
unlike($plan, qr/listed: \d/i, 'EXPLAIN without ANALYZE shows no counts');
$proxy->forget;
$cluster->query("EXPLAIN SELECT * FROM images_by_day WHERE study_date = '$day'");
is(scalar $proxy->requests, 0, 'and asks the store for nothing');

done_testing();
