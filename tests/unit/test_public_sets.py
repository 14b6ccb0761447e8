"""Public data sets in the exact form they are published in; the rows are made up.

The forms were looked up in the sets' own readme files, which public.toml names; the examples there became ours.
"""

from __future__ import annotations

import csv
import gzip
import json
from pathlib import Path

import duckdb
import pytest
from click.testing import CliRunner

from plait.cli import main
from plait.errors import Rejected
from plait.feeds.public import import_set, known

# name -> (files as published, what train.csv must say, then the other files)
SETS: dict[str, tuple[dict[str, str | bytes], list[str], dict[str, list[str]]]] = {
    "movielens latest": (
        {
            "ml-latest/ratings.csv": "userId,movieId,rating,timestamp\n1,307,3.5,1256677221\n1,481,3.5,1256677456\n",
            "ml-latest/movies.csv": 'movieId,title,genres\n307,"Three Colors: Blue (Trois couleurs, 1993)",Drama\n'
            "481,Kalifornia (1993),Drama|Thriller\n9,Nothing (2001),(no genres listed)\n",
        },
        ["1,307,rate,3.5,1256677221", "1,481,rate,3.5,1256677456"],
        {"items": ['307,"Three Colors: Blue (Trois couleurs, 1993)",Drama', "481,Kalifornia (1993),Drama;Thriller", '9,Nothing (2001),""']},
    ),
    "movielens 1M": (
        {
            "ml-1m/ratings.dat": "1::1193::5::978300760\n6040::661::3::978302109\n",
            "ml-1m/movies.dat": 'MV::Misérables, "Les" (1995)::Drama|Musical\n'.encode("latin-1"),
        },
        ["1,1193,rate,5.0,978300760", "6040,661,rate,3.0,978302109"],
        {"items": ['MV,"Misérables, ""Les"" (1995)",Drama;Musical']},
    ),
    "movielens 100k": (
        {
            "u.data": "196\t242\t3\t881250949\n",
            "u.item": "242|Kolya (1996)|24-Jan-1997||http://us.imdb.com/M/title-exact?Kolya%20(1996)|0|0|0|0|0|1|0|0|0|0|0|0|0|0|0|0|0|0|1\n",
        },
        ["196,242,rate,3.0,881250949"],
        {"items": ["242,Kolya (1996),Comedy;Western"]},
    ),
    "retailrocket": (
        {
            "events.csv": "timestamp,visitorid,event,itemid,transactionid\n1433221332117,257597,view,355908,\n"
            "1433222276276,599528,transaction,356475,4000\n1433221999827,111016,addtocart,318965,\n",
            "item_properties_part1.csv": "timestamp,itemid,property,value\n1435460400000,355908,categoryid,1338\n1436065200000,355908,790,n27600.000\n",
            "item_properties_part2.csv": "timestamp,itemid,property,value\n1437460400000,355908,categoryid,1016\n",
            "category_tree.csv": "categoryid,parentid\n1016,213\n213,\n",
        },
        ["257597,355908,view,,1433221332", "599528,356475,purchase,,1433222276", "111016,318965,add,,1433221999"],
        {"items": ["355908,,category 1016;category 213"]},
    ),
    "yoochoose": (
        {
            "yoochoose-clicks.dat": "1,2014-04-07T10:51:09.277Z,214536502,0\n1,2014-04-07T10:54:09.868Z,214536500,7\n",
            "yoochoose-buys.dat": "420374,2014-04-06T18:44:58.314Z,214537888,12462,1\n",
        },
        ["1,214536502,view,,1396867869", "1,214536500,view,,1396868049", "420374,214537888,purchase,,1396809898"],
        {"items": ["214536500,,category 7"]},
    ),
    "rees46": (
        {
            "2019-Oct.csv": "event_time,event_type,product_id,category_id,category_code,brand,price,user_id,user_session\n"
            "2019-10-01 00:00:00 UTC,view,44600062,2103807459595387724,,shiseido,35.79,541312140,72d76fde-8bb3-4e00-8c23-a032dfed738c\n",
            "2019-Nov.csv.gz": "event_time,event_type,product_id,category_id,category_code,brand,price,user_id,user_session\n"
            "2019-11-01 00:00:01 UTC,cart,3900821,2053013552326770905,appliances.environment.water_heater,aqua,33.20,554748717,9333dfbd\n"
            "2019-11-01 00:00:02 UTC,remove_from_cart,3900821,2053013552326770905,appliances.environment.water_heater,aqua,33.20,554748717,9333dfbd\n",
        },
        ["554748717,3900821,add,,1572566401", "554748717,3900821,remove,,1572566402", "541312140,44600062,view,,1569888000"],
        {"items": ["3900821,aqua water_heater,appliances;environment;water_heater;aqua", "44600062,shiseido,shiseido"]},
    ),
    "kuairec": (
        {
            "KuaiRec 2.0/data/big_matrix.csv": "user_id,video_id,play_duration,video_duration,time,date,timestamp,watch_ratio\n"
            "0,3649,13838,10867,2020-07-05 00:08:23.438,20200705,1593878903.438,1.273397\n",
            "KuaiRec 2.0/data/small_matrix.csv": "user_id,video_id,play_duration,video_duration,time,date,timestamp,watch_ratio\n14,148,4381,6067,,,,0.722103\n",
            "KuaiRec 2.0/data/social_network.csv": 'user_id,friend_list\n3371,[2975]\n24,"[2665, 3]"\n',
            "KuaiRec 2.0/data/item_categories.csv": 'video_id,feat\n0,[8]\n1,"[27, 9]"\n',
        },
        ["0,3649,dwell,13.838,1593878903"],
        {"ties": ["3371,2975", "24,2665", "24,3"], "items": ["0,,tag 8", "1,,tag 27;tag 9"]},
    ),
    "kuairand": (
        {
            "KuaiRand-Pure/data/log_standard_4_08_to_4_21_pure.csv": "user_id,video_id,date,hourmin,time_ms,is_click,is_like,is_follow,is_comment,"
            "is_forward,is_hate,long_view,play_time_ms,duration_ms,profile_stay_time,comment_stay_time,is_profile_enter,is_rand,tab\n"
            "0,7,20220421,400,1650485801301,1,1,0,1,1,0,1,151024,104400,0,0,0,0,1\n0,8,20220421,400,1650485801301,0,0,0,0,0,1,0,0,104400,0,0,0,0,1\n",
            "KuaiRand-Pure/data/video_features_basic_pure.csv": "video_id,author_id,video_type,upload_dt,upload_type,visible_status,video_duration,server_width,server_height,music_id,music_type,tag\n"
            '7,441,NORMAL,2020-07-08,ShortImport,1.0,17200.0,720,1280,989206467,4.0,"12,65"\n',
        },
        ["0,7,view,,1650485801", "0,7,dwell,151.024,1650485801", "0,7,like,,1650485801", "0,7,comment,,1650485801", "0,7,share,,1650485801"],
        {"items": ["7,,tag 12;tag 65"]},
    ),
    "tenrec QK-video": (
        {
            "QB-video.csv": "user_id,item_id,click,follow,like,share,video_category,watching_times,gender,age\n"
            "1,4,0,0,0,0,1,0,1,4\n1,1201,1,0,1,0,\\N,3,1,4\n",
        },
        ["1,1201,click,,", "1,1201,play,3.0,", "1,1201,like,,"],
        {"items": ["4,,category 1"]},
    ),
    "tenrec QK-article": (
        {
            "QK-article.csv": "user_id,item_id,click,gender,age,exposure_count,click_count,like_count,comment_count,read_percentage,item_score1,"
            "item_score2,category_second,category_first,item_score3,read,read_time,share,like,follow,favorite\n"
            "5,9,1.0,1,3,100,20,1,0,80,0.1,0.2,11003,110,0.3,1,35,1,0,0,1\n",
        },
        ["5,9,click,,", "5,9,dwell,35.0,", "5,9,share,,", "5,9,save,,"],
        {"items": ["9,,category 110;category 11003"]},
    ),
    "deskdrop": (
        {
            "users_interactions.csv": "timestamp,eventType,contentId,personId,sessionId,userAgent,userRegion,userCountry\n"
            '1465413032,VIEW,-3499919498720038879,-8845298781299428018,1264196770339959068,"Mozilla/5.0 (X11, Linux)",NY,US\n'
            "1465413046,COMMENT CREATED,310515487419366995,-1130272294246983140,2631864456530402479,,,\n",
            "shared_articles.csv": "timestamp,eventType,contentId,authorPersonId,authorSessionId,authorUserAgent,authorRegion,authorCountry,contentType,url,title,text,lang\n"
            "1459192779,CONTENT REMOVED,-1,4340306774493623681,8940341205206233829,,,,HTML,http://a.example,Gone,x,en\n"
            '1459193988,CONTENT SHARED,-4110354420726924665,4340306774493623681,8940341205206233829,,,,HTML,http://a.example,"Ethereum, a\nVirtual Currency","All of this\nwork is still very early.",en\n',
        },
        ["-8845298781299428018,-3499919498720038879,view,,1465413032", "-1130272294246983140,310515487419366995,comment,,1465413046"],
        {"items": ['-4110354420726924665,"Ethereum, a\nVirtual Currency",language en']},
    ),
    "lastfm": (
        {
            "user_artists.dat": "userID\tartistID\tweight\n2\t51\t13883\n2\t52\t11690\n",
            "user_friends.dat": "userID\tfriendID\n2\t275\n275\t2\n",
            "artists.dat": 'id\tname\turl\tpictureURL\n51\t"Weird Al" Yankovic\thttp://www.last.fm/music/Duran+Duran\thttp://x.example/155669.jpg\n',
            "tags.dat": "tagID\ttagValue\n1\tmetal\n2\t80's\n3\trock;pop\n4\tcaf\xe9\n".encode("latin-1"),
            "user_taggedartists.dat": "userID\tartistID\ttagID\tday\tmonth\tyear\n2\t51\t2\t1\t4\t2009\n3\t51\t2\t1\t4\t2009\n2\t51\t3\t1\t4\t2009\n2\t51\t4\t1\t4\t2009\n",
        },
        ["2,51,play,13883.0,", "2,52,play,11690.0,"],
        {"ties": ["2,275", "275,2"], "items": ['51,"""Weird Al"" Yankovic","80\'s;café;rock,pop"']},
    ),
    "yelp": (
        {
            "yelp_academic_dataset_review.json": json.dumps({"review_id": "KU_O5udG6zpxOg-VcAEodg", "user_id": "mh_-eMZ6K5RLWhZyISBhwA", "business_id": "XQfwVwDr-v0ZS3_CbbE5Xw", "stars": 3.0, "useful": 0, "funny": 0, "cool": 0, "text": "If you\n\"decide\"", "date": "2018-07-07 22:09:11"}) + "\n",
            "yelp_academic_dataset_tip.json": json.dumps({"user_id": "AGNUgVwnZUey3gcPCJ76iw", "business_id": "3uLgwr0qeCNMjKenHJwPGQ", "text": "Avengers time", "date": "2012-05-18 02:17:21", "compliment_count": 0}) + "\n",
            "yelp_academic_dataset_user.json": json.dumps({"user_id": "qVc8ODYU5SZjKXVBgXdI7w", "name": "W", "friends": "NSCy54eWehBJyZdG2iE84w, pe42u7DcCH2QmI81NX-8qA"}) + "\n" + json.dumps({"user_id": "x", "friends": "None"}) + "\n",
            "yelp_academic_dataset_business.json": json.dumps({"business_id": "Pns2l4eNsfO8kk83dixA6A", "name": "Abby Rappoport, LAC", "categories": "Doctors, Traditional Chinese Medicine", "attributes": {"ByAppointmentOnly": "True"}, "hours": None}) + "\n",
        },
        ["mh_-eMZ6K5RLWhZyISBhwA,XQfwVwDr-v0ZS3_CbbE5Xw,rate,3.0,1531001351", "AGNUgVwnZUey3gcPCJ76iw,3uLgwr0qeCNMjKenHJwPGQ,comment,,1337307441"],
        {
            "ties": ["qVc8ODYU5SZjKXVBgXdI7w,NSCy54eWehBJyZdG2iE84w", "qVc8ODYU5SZjKXVBgXdI7w,pe42u7DcCH2QmI81NX-8qA"],
            "items": ['Pns2l4eNsfO8kk83dixA6A,"Abby Rappoport, LAC",Doctors;Traditional Chinese Medicine'],
        },
    ),
    "beidian": (
        {
            "data/Beidian/train": "0\t4\n0\t7\n", "data/Beidian/val": "1\t8\n", "data/Beidian/test": "1\t9\n",
            "data/Beidian/social": "5\t1177\n", "data/Beidian/ufi": "1082\t2242\t332\n",
        },
        ["0,4,purchase,,", "0,7,purchase,,", "1,8,purchase,,"],
        {"test": ["1,9"], "ties": ["5,1177"], "shares": ["1082,2242,332"]},
    ),
}  # fmt: skip


def put(folder: Path, files: dict[str, str | bytes]) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        raw = content.encode() if isinstance(content, str) else content
        path.write_bytes(gzip.compress(raw) if name.endswith(".gz") else raw)
    return folder


def rows(path: Path) -> list[str]:
    """The lines below the header; a record over two lines is one."""
    return list(csv_records(path))[1:]


def csv_records(path: Path) -> list[str]:
    text, found = path.read_text("utf-8"), []
    record = ""
    for line in text.splitlines():
        record = f"{record}\n{line}" if record else line
        if record.count('"') % 2 == 0:
            found.append(record)
            record = ""
    return found


@pytest.mark.parametrize("which", SETS)
def test_a_set_becomes_the_folder_that_evaluate_reads(tmp_path: Path, which: str):
    files, train, others = SETS[which]
    told = import_set(which.split()[0], put(tmp_path / "from", files), tmp_path / "out")

    assert rows(tmp_path / "out/train.csv") == train
    assert {
        path.stem: sorted(rows(path)) for path in (tmp_path / "out").iterdir() if path.stem != "train"
    } == {name: sorted(wanted) for name, wanted in others.items()}
    assert told.refused == 0, told.samples


@pytest.mark.parametrize("which", SETS)
def test_lines_may_end_as_on_windows(tmp_path: Path, which: str):
    files, train, others = SETS[which]
    theirs = {
        name: (text.encode() if isinstance(text, str) else text).replace(b"\n", b"\r\n")
        for name, text in files.items()
    }

    told = import_set(which.split()[0], put(tmp_path / "in", theirs), tmp_path / "out")

    assert told.refused == 0
    assert sorted(rows(tmp_path / "out" / "train.csv")) == sorted(train)
    for output, lines in others.items():
        assert sorted(rows(tmp_path / "out" / f"{output}.csv")) == sorted(lines)


@pytest.mark.parametrize(
    ("name", "files"),
    [
        ("tenrec", ["QK-video.csv", "sbr_data_1M.csv"]),  # the second is an extract of the first
        ("beidian", ["data/Beibei/train", "data/Beidian/train"]),
        ("rees46", ["shop/2019-Oct.csv", "cosmetics/2019-Oct.csv"]),
    ],
)
def test_different_sets_in_one_folder_are_not_mixed(tmp_path: Path, name: str, files: list[str]):
    folder = put(tmp_path / "in", dict.fromkeys(files, "0\t4\n"))

    with pytest.raises(Rejected) as error:
        import_set(name, folder, tmp_path / "out")

    assert error.value.code == "several_sets"
    assert all(one in error.value.message for one in files)


def test_what_was_unpacked_beside_its_archive_counts_once(tmp_path: Path):
    folder = put(tmp_path / "in", {"u.data": "1\t2\t3\t4\n", "u.data.gz": "1\t2\t3\t4\n", "._u.data": "\0"})

    told = import_set("movielens", folder, tmp_path / "out")

    assert told.written["train"] == 1


def test_every_set_that_we_know_is_tried_here_in_each_of_its_forms():
    tried = sorted(which.split()[0] for which in SETS)
    # The fourth form of Tenrec is the second without what it lacks.
    assert tried == sorted(
        [name for name, forms in known().items() for _ in forms if name != "tenrec"] + ["tenrec"] * 2
    )


def test_rows_that_cannot_be_used_are_told_and_the_rest_goes_on(tmp_path: Path):
    put(
        tmp_path,
        {
            "ratings.csv": "userId,movieId,rating,timestamp\n1,10,4,100\n2,20\n3,30,good,100\n4,,4,100\n5,50,nan,100\n6,60,4,soon\n7,70,4,100\n8,80,4"
        },
    )
    told = import_set("movielens", tmp_path, tmp_path / "out")

    assert rows(tmp_path / "out/train.csv") == ["1,10,rate,4.0,100", "7,70,rate,4.0,100"]
    assert told.refused == 6
    assert len(told.samples) == 6


@pytest.mark.parametrize("time", ["inf", "nan", "-5", "1256677221000", "yesterday", ""])
def test_a_time_that_is_none_costs_its_row_and_no_other(tmp_path: Path, time: str):
    text = f"userId,movieId,rating,timestamp\n1,307,3.5,{time}\n1,481,3.5,1256677456\n"

    told = import_set("movielens", put(tmp_path / "in", {"ratings.csv": text}), tmp_path / "out")

    assert (told.written["train"], told.refused) == (1, 1)
    assert "no time that can be read" in told.samples[0]


def test_an_event_that_nobody_knows_is_refused(tmp_path: Path):
    put(
        tmp_path,
        {
            "events.csv": "timestamp,visitorid,event,itemid,transactionid\n1000,1,view,2,\n1000,1,levitate,2,\n"
        },
    )
    told = import_set("retailrocket", tmp_path, tmp_path / "out")

    assert (told.written["train"], told.refused) == (1, 1)
    assert "no signal that is known" in told.samples[0]


def test_columns_may_stand_in_another_order(tmp_path: Path):
    put(tmp_path, {"ratings.csv": "timestamp,rating,extra,userId,movieId\n100,4,?,1,10\n"})
    import_set("movielens", tmp_path, tmp_path / "out")

    assert rows(tmp_path / "out/train.csv") == ["1,10,rate,4.0,100"]


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"readme.txt": "hello"}, "does not hold movielens: there is no ratings.csv"),
        ({"ratings.csv": ""}, "ratings.csv is empty"),
        ({"ratings.csv": "userId,movieId,timestamp\n1,2,3\n"}, "rating"),
        ({"ratings.csv": "userId,movieId,rating,timestamp\n1,2,x,3\n"}, "nothing in"),
        ({"ratings.csv": "userId,movieId,rating,timestamp\n"}, "nothing in"),
    ],
)
def test_a_folder_that_cannot_be_read_says_what_is_wrong(tmp_path: Path, files: dict[str, str], said: str):
    with pytest.raises(Rejected, match=said) as told:
        import_set("movielens", put(tmp_path / "from", files), tmp_path / "out")

    assert told.value.code == "invalid_file"
    assert not list((tmp_path / "out").glob("*"))


def test_a_file_that_breaks_off_leaves_what_was_there(tmp_path: Path):
    whole = gzip.compress(
        b"userId,movieId,rating,timestamp\n"
        + b"".join(b"%d,%d,4,%d\n" % (n, n * 7, n * n) for n in range(50_000))
    )
    (tmp_path / "ratings.csv.gz").write_bytes(whole[: len(whole) // 2])
    out = put(tmp_path / "out", {"train.csv": "person,item,signal,value,at\nmine,1,view,,\n"})

    with pytest.raises(Rejected) as told:
        import_set("movielens", tmp_path, out)

    assert told.value.code == "invalid_file"
    assert rows(out / "train.csv") == ["mine,1,view,,"]


def test_what_another_set_left_in_the_folder_goes(tmp_path: Path):
    out = put(tmp_path / "out", {"ties.csv.gz": "person,friend\n1,2\n", "notes.txt": "mine"})
    import_set("movielens", put(tmp_path / "from", {"u.data": "196\t242\t3\t881250949\n"}), out)

    assert sorted(path.name for path in out.iterdir()) == ["notes.txt", "train.csv"]


@pytest.mark.parametrize("form", ["csv", "csv.gz", "parquet"])
def test_all_forms_say_the_same(tmp_path: Path, form: str):
    import_set(
        "movielens",
        put(tmp_path / "from", {"u.data": "196\t242\t3\t881250949\n"}),
        tmp_path / "out",
        form=form,
    )

    found = duckdb.sql(
        f"select person, item, signal, value, \"at\" from '{tmp_path}/out/train.{form}'"
    ).fetchall()
    assert [tuple(map(str, row)) for row in found] == [("196", "242", "rate", "3.0", "881250949")]


def test_a_map_of_ones_own_is_a_few_lines(tmp_path: Path):
    put(tmp_path, {
        "mine.toml": '[[ours]]\nfiles.log = { name = "log.tsv", delimiter = "\\t" }\n'
        'train = [{ from = "log", person = "who", item = "sku", signals.view = { when = "true" }, signals.purchase = { when = "bought = \'y\'" } }]\n',
        "log.tsv": "who\tsku\tbought\nanna\ttent\ty\nben\ttent\tn\n",
    })  # fmt: skip
    told = CliRunner().invoke(
        main,
        [
            "import",
            "dataset",
            "ours",
            str(tmp_path),
            "--out",
            str(tmp_path / "out"),
            "--map",
            str(tmp_path / "mine.toml"),
        ],
    )

    assert json.loads(told.stdout) == {"variant": "", "written": {"train": 3}, "refused": 0}
    assert rows(tmp_path / "out/train.csv") == ["anna,tent,view,,", "anna,tent,purchase,,", "ben,tent,view,,"]


def test_what_is_read_is_not_replaced(tmp_path: Path):
    (tmp_path / "train.csv").write_text("visitor,sku\nanna,tent\n")
    (tmp_path / "map.toml").write_text(
        "[[ours]]\nfiles.log = { name = 'train.csv' }\n"
        'train = [{ from = "log", person = "visitor", item = "sku", signal = "\'view\'" }]\n'
    )

    with pytest.raises(Rejected, match="would be replaced"):
        import_set("ours", tmp_path, tmp_path, more=tmp_path / "map.toml")

    assert (tmp_path / "train.csv").read_text() == "visitor,sku\nanna,tent\n"


@pytest.mark.parametrize(
    ("text", "said"), [("[[ours]]\nfile = 1\n", "no map of a data set"), ("[[ours\n", "no map of a data set")]
)
def test_a_map_that_is_none_is_told(tmp_path: Path, text: str, said: str):
    put(tmp_path, {"mine.toml": text})
    told = CliRunner().invoke(
        main,
        [
            "import",
            "dataset",
            "ours",
            str(tmp_path),
            "--out",
            str(tmp_path / "out"),
            "--map",
            str(tmp_path / "mine.toml"),
        ],
    )

    assert told.exit_code == 2
    assert said in told.stderr


def test_a_name_that_nobody_knows_is_told_with_those_we_know(tmp_path: Path):
    told = CliRunner().invoke(
        main, ["import", "dataset", "movielense", str(tmp_path), "--out", str(tmp_path / "out")]
    )

    assert told.exit_code == 2
    assert "'movielense' is not known; there are beidian" in told.stderr


def test_what_is_written_can_be_brought_into_an_installation(tmp_path: Path):
    from plait.feeds import read_events, read_items

    files, _, _ = SETS["movielens latest"]
    import_set("movielens", put(tmp_path / "from", files), tmp_path / "out")

    events = list(read_events(tmp_path / "out/train.csv"))
    assert [(one["who"], one["about"], one["signal"], one["value"], one["at"]) for one in events] == [
        (["user:1"], {"item": "307"}, "rate", 3.5, 1256677221000), (["user:1"], {"item": "481"}, "rate", 3.5, 1256677456000),
    ]  # fmt: skip
    assert [one["topics"] for one in read_items(tmp_path / "out/items.csv") if "topics" in one] == [
        ["Drama"],
        ["Drama", "Thriller"],
    ]


def test_the_csv_module_reads_what_was_written(tmp_path: Path):
    files, _, _ = SETS["deskdrop"]
    import_set("deskdrop", put(tmp_path / "from", files), tmp_path / "out")

    with (tmp_path / "out/items.csv").open(newline="", encoding="utf-8") as file:
        assert [row["title"] for row in csv.DictReader(file)] == ["Ethereum, a\nVirtual Currency"]
