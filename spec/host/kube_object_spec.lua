local native = require "native.kube_object"

describe("host/kube_object", function()
  local text = '{"kind":"RayCluster","metadata":{"labels":{"a/b":"c"},"name":"ray-1","namespace":"compute",'
    .. '"resourceVersion":"947","uid":"u-1"},"spec":{"big":9007199254740993}}'

  it("keeps the bytes and finds what rules need", function()
    assert.same({ name = "ray-1", namespace = "compute", uid = "u-1", resource_version = "947", version = 947,
      labels = '{"a/b":"c"}', text = text }, native.read(text))
  end)

  it("is the object without what stands around it", function()
    assert.equal(text, native.read(" \r\n\t" .. text .. "\n").text)
  end)

  it("does without what is not there", function()
    assert.same({ name = "x", namespace = "", uid = "", resource_version = "", version = 0, labels = "",
      text = '{"metadata":{"name":"x"}}' }, native.read('{"metadata":{"name":"x"}}'))
    assert.equal("", native.read('{"metadata":{"name":"x","labels":null}}').labels)
  end)

  it("reads escaped metadata", function()
    assert.equal("é<", native.read([[{"metadata":{"name":"\u00e9\u003c"}}]]).name)
  end)

  it("takes no number from a version that is none", function()
    assert.equal(0, native.read('{"metadata":{"name":"x","resourceVersion":"12a"}}').version)
    assert.equal(0, native.read('{"metadata":{"name":"x","resourceVersion":"99999999999999999999999"}}').version)
  end)

  it("refuses what is no Kubernetes object", function()
    for _, other in ipairs { "[]", "5", "{}", '{"metadata":[]}', '{"metadata":{}}', '{"metadata":{"name":""}}',
      '{"metadata":{"name":5}}', '{"metadata":{"name":"x","uid":{}}}', '{"metadata":{"name":"x"}', "",
      '{"metadata":{"name":"x"}} {}', '{"metadata":{"name":"x"},"metadata":{"name":"x"}}',
      '{"metadata":null,"metadata":{"name":"x"}}', '{"spec":[1,],"metadata":{"name":"x"}}' } do
      assert.is_nil(native.read(other), other)
    end
  end)
end)
